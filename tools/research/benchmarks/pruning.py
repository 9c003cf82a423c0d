"""The frozen part, from the image to attention maps, with adaptive patches against all image tokens."""

import argparse
import statistics
from typing import Any

import torch
from PIL import Image

from benchmarks.images import benchmark_image
from benchmarks.measure import median_total, time_in_turn
from benchmarks.presets import build_grounder, build_image_processor, prunes
from benchmarks.samples import EDGES, SampleMaker
from flmm.models import FrozenLMM

IMPORTANCE = {'entropy': {'method': 'entropy'}, 'laplacian, blur 5': EDGES}
SELECTION = {
    **{f'budget {alpha}': {'patch_selection_method': 'budget', 'alpha': alpha} for alpha in (0.5, 0.3, 0.2, 0.1)},
    'v1': {'patch_selection_method': 'v1'},
    'v2': {'patch_selection_method': 'v2'},
}
DENSE = 'dense'
SETTINGS = {DENSE: {}} | {
    f'{selection}, {importance}': {**SELECTION[selection], **IMPORTANCE[importance]}
    for importance in IMPORTANCE
    for selection in SELECTION
}
# As the configs do it: no token of more than 2x2 units.
SETTINGS |= {
    f'{name}, up to 2x2': {**SETTINGS[name], 'max_token_size': 2}
    for name in ('budget 0.5, laplacian, blur 5', 'budget 0.3, laplacian, blur 5')
}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; ``args`` are those of the command line.

    Raises:
        ValueError: the preset's image processor does not prune.
    """
    if not prunes(args.preset):
        raise ValueError(f'preset {args.preset!r}: its image processor does not prune; take one of Qwen')
    grounder = build_grounder(args.preset, device=args.device)
    return {
        f'{width}x{height}': _compare(
            args.preset,
            grounder,
            benchmark_image(args.image, size=(width, height)),
            repeats=args.repeats,
            device=args.device,
        )
        for width, height in args.sizes
    }


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows to print."""
    rows = [['image, patches', 'tokens', 'kept %', 'processing ms', 'frozen ms', 'total ms', 'speed-up']]
    for size, case in results.items():
        for name, result in case.items():
            times = (result[key] * 1e3 for key in ('processing_median_s', 'frozen_median_s', 'total_median_s'))
            counts = (str(result['tokens']), f'{result["kept_fraction"] * 100:.1f}')
            rows.append([f'{size} {name}', *counts, *(f'{time:.0f}' for time in times), f'{result["speed_up"]:.2f}'])
    return rows


def _compare(
    preset: str, grounder: FrozenLMM, image: Image.Image, *, repeats: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    makers = {
        name: SampleMaker(image, num_phrases=3, image_processor=build_image_processor(preset, image, **settings))
        for name, settings in SETTINGS.items()
    }
    tokens = {name: len(make_sample().layout) for name, make_sample in makers.items()}
    seconds = time_in_turn(
        {
            name: {
                'processing': lambda _, make_sample=make_sample: make_sample(),
                'frozen': lambda sample: grounder.encode([sample.to(device)]),
            }
            for name, make_sample in makers.items()
        },
        repeats=repeats,
        device=device,
    )
    totals = {name: median_total(seconds[name]) for name in SETTINGS}
    return {
        name: {
            'settings': settings,
            'tokens': tokens[name],
            'kept_fraction': tokens[name] / tokens[DENSE],
            **{f'{stage}_seconds': times for stage, times in seconds[name].items()},
            **{f'{stage}_median_s': statistics.median(times) for stage, times in seconds[name].items()},
            'total_median_s': totals[name],
            'speed_up': totals[DENSE] / totals[name],
        }
        for name, settings in SETTINGS.items()
    }
