"""Phrases of an image that is read once, against one that is read for each; and what large images take.

On a CPU all times are the processor's, of all threads together: run it with one thread.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.images import benchmark_image
from benchmarks.measure import (
    in_new_process,
    kept_memory,
    memory_now,
    most_memory,
    own_clock,
    synchronize,
    time_in_turn,
)
from benchmarks.one_by_one import read_one_by_one
from benchmarks.presets import ROOT, build_grounder, build_image_processor
from benchmarks.samples import SampleMaker, num_image_tokens
from flmm import Grounder
from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.memory import prefix_bytes
from flmm.models import FrozenLMM
from flmm.structures import GroundingSample

CONFIG, CHECKPOINT = ROOT / 'configs/shapes/demo_no_target.py', ROOT / 'assets/model.safetensors'
PHOTOGRAPH, PHOTOGRAPH_PHRASES = (4000, 3000), 100
BATCH_IMAGE, BATCH_SENTENCES = (640, 480), 120
FEW_PHRASES = 8
"""More than these take minutes one by one; they are measured in one round."""
COLOURS, KINDS = ('red', 'blue', 'green'), ('circle', 'square', 'star', 'cross')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; ``args`` are those of the command line."""
    model = build_grounder(args.preset, device=args.device)
    sizes = {}
    for width, height in args.sizes:
        image = benchmark_image(args.image, size=(width, height))
        image_processor = build_image_processor(args.preset, image)
        samples = {
            count: SampleMaker(image, num_phrases=count, image_processor=image_processor)().to(args.device)
            for count in args.num_phrases
        }
        sizes[f'{width}x{height}'] = {
            'image_tokens': num_image_tokens(samples[args.num_phrases[0]]),
            'phrases': {count: _compare(model, sample, args) for count, sample in samples.items()},
            **_kept(model, SampleMaker(image, num_phrases=1, image_processor=image_processor)().to(args.device), args),
        }
    demo = {
        'photograph': (photograph, args.image, PHOTOGRAPH, PHOTOGRAPH_PHRASES),
        'batch': (batch, args.image, BATCH_IMAGE, BATCH_SENTENCES),
    }
    return {
        'sizes': sizes,
        **{name: in_new_process(call, *given, args.device) for name, (call, *given) in demo.items()},
    }


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows to print."""
    rows = [['image, what', 'ms', 'against', 'ms', 'ratio', 'MiB']]
    for size, case in results['sizes'].items():
        for count, found in case['phrases'].items():
            times = [f'{1e3 * statistics.median(found[way]):.0f}' for way in ('read_once_s', 'one_by_one_s')]
            ratio = f'{statistics.median(found["times_faster"]):.2f}'
            rows.append([f'{size}, {count} phrases, read once', times[0], 'one by one', times[1], ratio, ''])
        times = [f'{1e3 * statistics.median(case[way]):.0f}' for way in ('one_more_s', 'reading_s')]
        share = f'1/{1 / statistics.median(case["one_more_share"]):.1f}'
        rows.append([f'{size}, one more phrase', times[0], 'reading', times[1], share, ''])
        kept = case['prefix']
        share = f'{kept["measured_bytes"] / kept["formula_bytes"]:.3f}'
        memory = f'{kept["measured_bytes"] / 2**20:.1f}'
        rows.append([f'{size}, prefix of {kept["tokens"]} tokens', '', 'formula', '', share, memory])
    for name in ('photograph', 'batch'):
        found = results[name]
        for stage, measured in found['stages'].items():
            what = f'{found["image"]}, {found["phrases"]} phrases, {stage}'
            rows.append([what, f'{1e3 * measured["seconds"]:.0f}', '', '', '', f'{measured["peak_bytes"] / 2**20:.0f}'])
    return rows


def _compare(model: FrozenLMM, sample: GroundingSample, args: argparse.Namespace) -> dict[str, list[float]]:
    """Time the LMM on all phrases of a sample, read once and one by one."""
    few = sample.num_masks <= FEW_PHRASES
    seconds = time_in_turn(
        {
            'read_once_s': {'LMM': lambda _: model.run_lmm([sample])},
            'one_by_one_s': {'LMM': lambda _: read_one_by_one(model, sample)},
        },
        repeats=args.repeats if few else 1,
        warm_up=few,  # which would take minutes, too
        device=args.device,
        clock=own_clock(args.device),
    )
    found = {way: stages['LMM'] for way, stages in seconds.items()}
    pairs = zip(found['one_by_one_s'], found['read_once_s'], strict=True)
    return {**found, 'times_faster': [apart / once for apart, once in pairs]}


def _kept(model: FrozenLMM, sample: GroundingSample, args: argparse.Namespace) -> dict[str, Any]:
    """Measure a phrase of an image that was read against reading it, and what is kept of the image."""
    reading = model.read_image(sample)
    asked = sample.with_outputs(reading=reading)
    seconds = time_in_turn(
        {
            'reading_s': {'LMM': lambda _: model.read_image(sample)},
            'one_more_s': {'LMM': lambda _: model.run_lmm([asked])},
        },
        repeats=args.repeats,
        device=args.device,
        clock=own_clock(args.device),
    )
    found = {way: stages['LMM'] for way, stages in seconds.items()}
    return {
        **found,
        'one_more_share': [more / read for more, read in zip(found['one_more_s'], found['reading_s'], strict=True)],
        'prefix': {
            'tokens': sample.prompt_length,
            'formula_bytes': prefix_bytes(model, sample.prompt_length),
            'measured_bytes': kept_memory(lambda: model.read_image(sample), device=args.device),
        },
    }


def photograph(path: str | None, size: tuple[int, int], num_phrases: int, device: torch.device) -> dict[str, Any]:
    """Ask the demo's grounder for phrases of a large image."""
    grounder = Grounder.from_config(CONFIG, checkpoint=CHECKPOINT, device=str(device))
    image = benchmark_image(path, size=size)
    stages = {
        'read': lambda _: grounder.read(image),
        'ground': lambda read: read.ground(_words(num_phrases)),
        'to_rle': lambda found: (found.to_rle(), found)[1],
        'masks': lambda found: found.masks,
    }
    return {'image': f'{size[0]}x{size[1]}', 'phrases': num_phrases, 'stages': _footprint(stages, device)}


def batch(path: str | None, size: tuple[int, int], num_phrases: int, device: torch.device) -> dict[str, Any]:
    """Let the demo's model predict one batch of samples of one phrase each, as a test of every sentence may have it."""
    grounder = Grounder.from_config(CONFIG, checkpoint=CHECKPOINT, device=str(device))
    to_sample = RefCOCO2PNG(
        image_processor=grounder.to_sample.image_processor, prompt=grounder.to_sample.prompt, concat=False
    )
    samples = to_sample.transform(unlabelled_item(benchmark_image(path, size=size), _words(num_phrases)))
    samples = [sample.to(device) for sample in samples]
    stages = {'predict': lambda _: grounder.model(samples, mode='predict')}
    return {'image': f'{size[0]}x{size[1]}', 'phrases': num_phrases, 'stages': _footprint(stages, device)}


def _words(count: int) -> list[str]:
    words = itertools.cycle(f'the {colour} {kind}' for colour in COLOURS for kind in KINDS)
    return list(itertools.islice(words, count))


def _footprint(stages: dict[str, Callable[[Any], Any]], device: torch.device) -> dict[str, dict[str, float]]:
    """Run stages once: how long each takes, and the most memory until its end beside what was held before the first."""
    before, clock, found, result = memory_now(device), own_clock(device), {}, None
    for name, call in stages.items():
        start = clock()
        result = call(result)
        synchronize(device)
        found[name] = {'seconds': clock() - start, 'peak_bytes': most_memory(device) - before}
    return found
