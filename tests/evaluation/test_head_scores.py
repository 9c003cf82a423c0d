import re

import pytest
import torch

from flmm.evaluation import best_threshold_iou


def plain(heat, coverage):
    """Every threshold, one after the other."""
    best = 0.0
    for threshold in heat.unique().tolist():
        taken = heat >= threshold
        intersection = coverage[taken].sum().item()
        union = taken.sum().item() + coverage.sum().item() - intersection
        best = max(best, intersection / union)
    return best


def test_against_every_threshold_in_turn():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, 5, 6, generator=generator, dtype=torch.float64)
    maps[1] = (maps[1] * 4).floor()  # ties, as of coarse tokens
    coverage = (2 * torch.rand(3, 5, 6, generator=generator, dtype=torch.float64) - 0.7).clamp(0, 1)
    expected = [[plain(heat, mask) for heat in heats] for heats, mask in zip(maps, coverage, strict=True)]
    found = best_threshold_iou(maps, coverage)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_map_that_is_the_mask_scores_one_and_an_even_map_what_the_mask_fills():
    mask = torch.zeros(1, 4, 5)
    mask[0, 1:3, 2:4] = 1
    maps = torch.stack([mask[0] * 0.2, torch.full((4, 5), 0.05)])[None]
    assert best_threshold_iou(maps, mask).tolist() == [[1.0, pytest.approx(4 / 20)]]
    assert best_threshold_iou(maps, torch.zeros(1, 4, 5)).tolist() == [[0.0, 0.0]]


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=re.escape('maps (2, 3, 4, 4) and coverage (2, 4, 5) do not fit')):
        best_threshold_iou(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5))
