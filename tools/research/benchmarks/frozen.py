"""The frozen LMM alone: flmm against a plain forward that gives no maps, and against maps by eager attention."""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks import reference
from benchmarks.images import benchmark_image
from benchmarks.measure import peak_memory, time_in_turn
from benchmarks.presets import build_grounder, build_image_processor, lmm_alone
from benchmarks.samples import SampleMaker, num_image_tokens
from flmm.models import FrozenLMM

STOCK, REFERENCE = 'stock forward', 'reference'


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; ``args`` are those of the command line."""
    model = build_grounder(args.preset, device=args.device)
    half = lmm_alone(model.lmm, layers=list(model.heads)[: len(model.heads) // 2])
    results = {}
    for width, height in args.sizes:
        image = benchmark_image(args.image, size=(width, height))
        make_sample = SampleMaker(
            image,
            num_phrases=args.num_phrases,
            image_processor=build_image_processor(args.preset, image),
            independent=False,  # as the reference reads
        )
        batch = [make_sample(number).to(args.device) for number in range(args.batch_size)]
        ways: dict[str, tuple[Callable[[], object], int]] = {
            STOCK: (lambda batch=batch: reference.stock_forward(model, batch[0]), 1),
            REFERENCE: (lambda batch=batch: reference.read_phrases(model, batch[0]), 1),
            'flmm': (lambda batch=batch: model.run_lmm(batch[:1]), 1),
            'flmm, half of the layers': (lambda batch=batch: half.run_lmm(batch[:1]), 1),
            f'flmm, batch of {len(batch)}': (lambda batch=batch: model.run_lmm(batch), len(batch)),
        }
        results[f'{width}x{height}'] = _compare(model, ways, args) | {'image_tokens': num_image_tokens(batch[0])}
    return results


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows to print; milliseconds and memory are those of a sample."""
    rows = [['image, tokens, way', 'ms', 'fastest', 'of stock', 'peak MiB', 'reference: time', 'memory']]
    for size, case in results.items():
        for way, result in case['ways'].items():
            time, memory = (result[key] for key in ('median_s', 'peak_bytes'))
            stock, plain = (case['ways'][name] for name in (STOCK, REFERENCE))
            rows.append(
                [
                    f'{size}, {case["image_tokens"]}, {way}',
                    f'{1e3 * time:.0f}',
                    f'{1e3 * min(result["seconds"]):.0f}',
                    f'{time / stock["median_s"]:.2f}',
                    f'{memory / 2**20:.1f}',
                    f'{plain["median_s"] / time:.2f}x',
                    f'{plain["peak_bytes"] / memory:.1f}x',
                ]
            )
    return rows


def _compare(model: FrozenLMM, ways: dict, args: argparse.Namespace) -> dict[str, Any]:
    seconds = time_in_turn(
        {way: {'frozen': lambda _, call=call: call()} for way, (call, _) in ways.items()},
        repeats=args.repeats,
        device=args.device,
    )
    found = {}
    for way, (call, num_samples) in ways.items():
        per_sample = [duration / num_samples for duration in seconds[way]['frozen']]
        found[way] = {
            'seconds': per_sample,
            'median_s': statistics.median(per_sample),
            'peak_bytes': peak_memory(call, device=args.device) / num_samples,
        }
    return {'ways': found}
