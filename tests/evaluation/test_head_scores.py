import math
import re

import pytest
import torch

from flmm.evaluation import best_threshold_iou, elbow, selection_frequency, spatial_entropy


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


def test_entropy_is_that_of_the_shares_of_the_spots():
    one = torch.zeros(6, 7)
    one[1:3, 1:4] = 1.0
    corners = torch.zeros(6, 7)
    corners[0, 0] = corners[1, 1] = 2.0  # they touch at a corner: one spot
    two = torch.zeros(6, 7)
    two[0, 0], two[5, 5:7] = 3.0, 1.0
    mean = 5 / 42
    shares = torch.tensor([3 - mean, 2 * (1 - mean)], dtype=torch.float64)
    shares /= shares.sum()
    edges = torch.zeros(6, 7)  # alike at the end of a map and the beginning of the next: not one spot
    edges[0, 3] = edges[5, 3] = 1.0
    even = torch.full((6, 7), 0.2)
    maps = torch.stack([one, corners, two, edges, edges, even])
    expected = [0.0, 0.0, -(shares * shares.log()).sum().item(), math.log(2), math.log(2), math.log(42)]
    found = spatial_entropy(torch.stack([maps, maps.flip(0)]))
    torch.testing.assert_close(found, torch.tensor([expected, expected[::-1]], dtype=torch.float64), rtol=0, atol=1e-7)


def test_entropy_does_not_depend_on_the_scale_of_the_map():
    maps = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    torch.testing.assert_close(spatial_entropy(maps), spatial_entropy(maps * 7e-4), rtol=0, atol=1e-9)
    assert (spatial_entropy(maps) >= 0).all()


@pytest.mark.parametrize(
    ('power', 'expected'),
    [
        (2.0, 0.5**2),  # x^p is farthest from the chord where p x^(p-1) = 1
        (4.0, 0.25 ** (4 / 3)),
        (0.5, 0.25**0.5),
        (1.0, 0.0),  # straight: its smallest value
    ],
)
def test_the_elbow_of_a_power_is_where_its_slope_is_that_of_the_chord(power, expected):
    curve = torch.linspace(0, 1, 2001, dtype=torch.float64) ** power
    shuffled = curve[torch.randperm(2001, generator=torch.Generator().manual_seed(0))]
    assert elbow(shuffled) == pytest.approx(expected, abs=1e-3)
    assert elbow(5 + 3 * shuffled) == pytest.approx(5 + 3 * expected, abs=3e-3)


def test_the_elbow_of_equal_values_is_their_value():
    assert elbow(torch.full((7,), 0.3)) == pytest.approx(0.3)
    assert elbow(torch.tensor([0.4])) == pytest.approx(0.4)


def test_selected_are_the_sharpest_of_the_heads_that_look():
    mass = torch.tensor([[0.0, 0.0, 0.1, 0.8, 0.9, 1.0]]).repeat(2, 1)  # the elbow: 0.1 lies farthest below the chord
    assert elbow(mass[0]) == pytest.approx(0.1)
    entropy = torch.tensor([[0.0, 0.0, 3.0, 1.0, 2.0, 2.5], [0.0, 0.0, 0.5, 2.0, 1.0, 3.0]])
    assert selection_frequency(mass, entropy, num_selected=2).tolist() == [0, 0, 0.5, 0.5, 1.0, 0]
    assert selection_frequency(mass, entropy, num_selected=1).tolist() == [0, 0, 0.5, 0.5, 0, 0]
    assert selection_frequency(mass, entropy).tolist() == [0, 0, 1, 1, 1, 1]  # fewer look than are selected
