"""Importance maps: flmm.apt against the plain formulation of histogram entropy, and all measures against each other."""

import argparse
import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.images import benchmark_image
from benchmarks.measure import peak_memory, time_in_turn
from flmm.apt import compute_importance_maps
from flmm.apt.importance import BINS, LAPLACIAN_AGGREGATES, METHODS

PATCH_SIZES = (14, 28, 56)
BLURS = (1, 5)
MIB = 2**20


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; ``args`` are those of the command line."""
    pixels = np.array(benchmark_image(args.image, size=args.size))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous().to(args.device)
    formulations = {'flmm.apt': compute_importance_maps, 'one-hot': one_hot_entropy}
    seconds = time_in_turn(
        {name: {'maps': lambda _, call=call: call(images)} for name, call in formulations.items()},
        repeats=args.repeats,
        device=args.device,
    )
    truth = oracle_entropy(pixels)
    entropy = {
        name: {
            'seconds': seconds[name]['maps'],
            'median_s': statistics.median(seconds[name]['maps']),
            'peak_bytes': peak_memory(partial(call, images), device=args.device),
            'max_difference_bits': _max_difference(call(images), truth),
        }
        for name, call in formulations.items()
    }
    ours, plain = entropy['flmm.apt'], entropy['one-hot']
    return {
        'entropy': entropy,
        'faster': plain['median_s'] / ours['median_s'],
        'smaller': plain['peak_bytes'] / ours['peak_bytes'],
        'measures': _measures(images, repeats=args.repeats, device=args.device),
    }


def table(results: dict[str, Any]) -> list[list[str]]:
    """The rows to print."""
    rows = [['importance', 'ms', 'peak MiB', 'max difference']]
    for name, result in results['entropy'].items():
        cells = (result['median_s'] * 1e3, result['peak_bytes'] / MIB)
        rows.append([f'entropy, {name}', *(f'{cell:.1f}' for cell in cells), f'{result["max_difference_bits"]:.1e}'])
    rows.append(['  one-hot / flmm.apt', f'{results["faster"]:.0f}x', f'{results["smaller"]:.0f}x', ''])
    for measure in results['measures']:
        name = f'{measure["name"]}, blur {measure["blur"]}'
        rows.append([name, f'{measure["median_s"] * 1e3:.1f}', f'{measure["peak_bytes"] / MIB:.1f}', ''])
    return rows


def _measures(images: Tensor, *, repeats: int, device: torch.device) -> list[dict[str, Any]]:
    kinds = [
        (f'{method} {aggregate}' if method == 'laplacian' else method, method, aggregate)
        for method in METHODS
        for aggregate in (LAPLACIAN_AGGREGATES if method == 'laplacian' else LAPLACIAN_AGGREGATES[:1])
    ]
    calls = {
        (name, blur): partial(compute_importance_maps, images, method=method, laplacian_aggregate=aggregate, blur=blur)
        for name, method, aggregate in kinds
        for blur in BLURS
    }
    seconds = time_in_turn(
        {key: {'maps': lambda _, call=call: call()} for key, call in calls.items()}, repeats=repeats, device=device
    )
    return [
        {
            'name': name,
            'blur': blur,
            'seconds': seconds[name, blur]['maps'],
            'median_s': statistics.median(seconds[name, blur]['maps']),
            'peak_bytes': peak_memory(call, device=device),
        }
        for (name, blur), call in calls.items()
    ]


def one_hot_entropy(images: Tensor) -> dict[int, Tensor]:
    """Entropy as it is usually written: a one-hot row of bins for each pixel, summed over each patch, for each size.

    Args:
        images: [B, 3, H, W] uint8.

    Returns:
        {14: [B, H // 14, W // 14], 28: ..., 56: ...} float32, of the patches that lie inside the image.
    """
    red, green, blue = images.double().unbind(1)
    bins = ((0.2989 * red + 0.5870 * green + 0.1140 * blue) * (BINS / 256)).long()
    maps = {}
    for size in PATCH_SIZES:
        patches = bins.unfold(1, size, size).unfold(2, size, size).flatten(3)
        share = F.one_hot(patches, BINS).sum(-2) / size**2
        maps[size] = -(share * share.clamp(min=1e-10).log2()).sum(-1)
    return maps


def oracle_entropy(pixels: np.ndarray) -> dict[int, np.ndarray]:
    """The same of [H, W, 3] uint8 in float64, patch by patch: {14: [H // 14, W // 14], ...}."""
    red, green, blue = np.moveaxis(pixels.astype(np.float64), 2, 0)
    bins = np.floor((0.2989 * red + 0.5870 * green + 0.1140 * blue) * BINS / 256).astype(np.int64)
    maps = {}
    for size in PATCH_SIZES:
        rows, columns = bins.shape[0] // size, bins.shape[1] // size
        maps[size] = np.empty((rows, columns))
        for row, column in np.ndindex(rows, columns):
            patch = bins[row * size : (row + 1) * size, column * size : (column + 1) * size]
            counts = np.bincount(patch.ravel())
            share = counts[counts > 0] / size**2
            maps[size][row, column] = -(share * np.log2(share)).sum()
    return maps


def _max_difference(maps: dict[int, Tensor], truth: dict[int, np.ndarray]) -> float:
    """In bits, over the patches that lie inside the image."""
    return max(
        float(
            np.abs(maps[size][0, : len(expected), : expected.shape[1]].double().cpu().numpy() - expected).max(initial=0)
        )
        for size, expected in truth.items()
    )
