"""A training step, from the image to the gradients, stage by stage: flmm in several ways against the reference."""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks import reference
from benchmarks.images import benchmark_image
from benchmarks.measure import in_turn, peak_memory
from benchmarks.presets import build_grounder, build_image_processor, prunes
from benchmarks.samples import EDGES, SampleMaker
from benchmarks.stages import StageTimer
from flmm.features import FeatureStore, MadeWith, StoredSample
from flmm.models import FrozenLMM
from flmm.models.attention_capture import AttentionCapture
from flmm.structures import GroundingSample

REFERENCE = 'reference'
STAGES = (
    'image processing', 'reading', 'vision tower', 'LLM', 'capture', 'SAM encoder', 'mask head', 'SAM decoder',
    'losses', 'backward', 'other',
)  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; ``args`` are those of the command line."""
    model = build_grounder(args.preset, device=args.device, whole=True)
    results = {}
    for width, height in args.sizes:
        image = benchmark_image(args.image, size=(width, height))
        for num_phrases in args.num_phrases:
            with tempfile.TemporaryDirectory() as folder, watched(model, StageTimer(args.device)) as timer:
                store = FeatureStore(folder, made_with=MadeWith(settings={}))
                make = _sample_makers(args.preset, image, num_phrases)
                ways = _ways(model, timer, make, args.batch_size, store)
                results[f'{width}x{height}, {num_phrases} phrases'] = _compare(ways, timer, args)
    return results


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows to print: milliseconds for each sample."""
    rows = [['image, way', 'samples/s', 'ms', *STAGES, 'peak MiB', 'reference takes']]
    for size, case in results.items():
        for way, result in case.items():
            rows.append(
                [
                    f'{size}, {way}',
                    f'{1 / result["median_s"]:.2f}',
                    f'{1e3 * result["median_s"]:.0f}',
                    *(f'{1e3 * result["stages"].get(stage, 0):.0f}' for stage in STAGES),
                    f'{result["peak_bytes"] / 2**20:.0f}',
                    f'{case[REFERENCE]["median_s"] / result["median_s"]:.2f}x',
                ]
            )
    return rows


def vision_towers(lmm: PreTrainedModel) -> list[nn.Module]:
    """The vision towers of an LMM, by the names that the families of transformers give them."""
    names = ('visual', 'vision_tower', 'vision_model', 'high_res_vision_model')
    return [getattr(lmm.model, name) for name in names if hasattr(lmm.model, name)]


@contextmanager
def watched(model: FrozenLMM, timer: StageTimer) -> Iterator[StageTimer]:
    """Let ``timer`` see the stages of the model."""
    contexts = [
        *(timer.watching(tower, 'vision tower') for tower in vision_towers(model.lmm)),
        timer.watching(model.lmm.model.language_model, 'LLM'),
        timer.watching(model.lmm.lm_head, 'LLM'),
        timer.watching(model.sam.model.image_encoder, 'SAM encoder'),
        timer.watching(model.mask_head, 'mask head'),
        mock.patch.object(AttentionCapture, 'record', timer.watched(AttentionCapture.record, 'capture')),
        mock.patch.object(model.sam, 'refine', timer.watched(model.sam.refine, 'SAM decoder')),
        mock.patch.object(model, '_losses', timer.watched(model._losses, 'losses')),
    ]
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield timer


def _sample_makers(preset: str, image: Image.Image, num_phrases: int) -> dict[float | None, SampleMaker]:
    """By the share of image tokens to keep; None: all of them, which is all that most families know."""
    settings: dict[float | None, dict[str, Any]] = {None: {}}
    if prunes(preset):
        settings |= {alpha: {'patch_selection_method': 'budget', 'alpha': alpha, **EDGES} for alpha in (0.5, 0.3)}
    return {
        alpha: SampleMaker(
            image,
            num_phrases=num_phrases,
            image_processor=build_image_processor(preset, image, **selection),
            independent=False,  # as the reference reads
        )
        for alpha, selection in settings.items()
    }


def _ways(
    model: FrozenLMM, timer: StageTimer, make: dict[float | None, SampleMaker], batch_size: int, store: FeatureStore
) -> dict[str, tuple[Callable[[], None], int]]:
    """Name of a way -> what does its step, and how many samples that takes."""
    device = timer.device
    encoder = reference.stock_encoder(model)
    records = _store(model, [make[None](number).to(device) for number in range(batch_size)], store)

    def made(alpha: float | None, count: int) -> list[GroundingSample]:
        with timer('image processing'):
            return [make[alpha](number).to(device) for number in range(count)]

    def read(count: int) -> list[GroundingSample]:
        with timer('reading'):
            return [store.read(record).to(device) for record in records[:count]]

    def forward() -> None:
        (sample,) = made(None, 1)
        with timer('LLM'):  # the vision tower counts for itself
            reference.stock_forward(model, sample)

    def plain_step() -> None:
        (sample,) = made(None, 1)
        with timer('LLM'):
            maps, states = reference.read_phrases(model, sample)
        with torch.no_grad(), timer('SAM encoder'):
            embedding = reference.embed(model, encoder, sample)
        with timer('other'):
            loss = reference.losses(model, sample, maps, states, embedding)
        backward(loss)

    def step(samples: list[GroundingSample]) -> None:
        with timer('other'):
            loss = sum(model(samples, mode='loss').values())
        backward(loss)

    def backward(loss: Tensor) -> None:
        with timer('backward'):
            loss.backward()
            model.zero_grad()

    return {
        'stock forward': (forward, 1),  # without grounding or training: the lower bound
        REFERENCE: (plain_step, 1),
        'flmm': (lambda: step(made(None, 1)), 1),
        f'flmm, batch of {batch_size}': (lambda: step(made(None, batch_size)), batch_size),
        **{
            f'flmm, budget {alpha}': (lambda alpha=alpha: step(made(alpha, 1)), 1)
            for alpha in make
            if alpha is not None
        },
        'flmm, stored features': (lambda: step(read(1)), 1),
        f'flmm, stored features, batch of {batch_size}': (lambda: step(read(batch_size)), batch_size),
    }


def _store(model: FrozenLMM, samples: list[GroundingSample], store: FeatureStore) -> list[dict[str, Any]]:
    store.open_to_write(num_images=len(samples))
    for sample in samples:
        (sample.features,) = model.encode([sample])
    stored = [StoredSample(item=i, draw=0, is_list=False, sample=sample) for i, sample in enumerate(samples)]
    store.write(0, stored, pictures={}, dtype='float16')
    return store.records()


def _compare(ways: dict[str, tuple[Callable[[], None], int]], timer: StageTimer, args: argparse.Namespace) -> dict:
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for way, counts in in_turn(ways, repeats=args.repeats):
        call, num_samples = ways[way]
        timer.seconds.clear()
        call()
        if counts:
            rounds[way].append({stage: seconds / num_samples for stage, seconds in timer.seconds.items()})
    found = {}
    for way, (call, num_samples) in ways.items():
        counted = rounds[way]
        totals = [sum(stages.values()) for stages in counted]
        found[way] = {
            'seconds': totals,
            'median_s': statistics.median(totals),
            'stages': {stage: statistics.median(stages[stage] for stages in counted) for stage in counted[0]},
            'peak_bytes': peak_memory(call, device=args.device) / num_samples,
        }
    return found
