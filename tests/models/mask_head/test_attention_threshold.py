"""AttentionThreshold against scipy's Gaussian in float64."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from flmm.models import AttentionThreshold


def random_maps(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) ** 4


def smoothed(values):
    return gaussian_filter(values, sigma=1.0, mode='constant', truncate=3.0)


def plain(maps, inside, threshold=1.0):
    """Head by head, phrase by phrase: a mean of the neighbours that show the image, then the sum, then its mean."""
    logits = []
    for heads, shows in zip(maps.double().numpy(), inside.double().numpy(), strict=True):
        total = sum(smoothed(head * shows) / smoothed(shows) for head in heads)
        logits.append(total / total[shows > 0].mean() - threshold)
    return torch.from_numpy(np.stack(logits))


@pytest.mark.parametrize('threshold', [1.0, 1.2])
def test_it_is_the_smoothed_sum_against_its_mean(threshold):
    maps = random_maps(3, 4, 9, 14)
    found = AttentionThreshold(in_channels=4, threshold=threshold)(maps)
    expected = plain(maps, torch.ones(3, 9, 14), threshold)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    mean = (found + threshold).mean(dim=(1, 2))
    torch.testing.assert_close(mean, torch.ones(3), rtol=0, atol=1e-5)
    assert 0.01 < (found > 0).float().mean() < 0.6


def test_far_from_the_border_smoothing_is_that_of_the_paper():
    """Its code smooths with scipy's default, which mirrors the border; 3 cells away no border counts."""
    maps = random_maps(1, 1, 12, 13)
    reference = gaussian_filter(maps[0, 0].double().numpy(), sigma=1.0, truncate=3.0)
    found = AttentionThreshold(in_channels=1)(maps)[0, 3:-3, 3:-3].double() + 1
    ratio = found / torch.from_numpy(reference)[3:-3, 3:-3]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-5, atol=0)


def test_padding_counts_for_nothing():
    maps = random_maps(2, 3, 10, 8)
    inside = torch.zeros(2, 10, 8, dtype=torch.bool)
    inside[0, 2:7] = True
    inside[1, :, 1:5] = True
    head = AttentionThreshold(in_channels=3)
    found = head(maps, inside)
    expected = plain(maps, inside)
    near = torch.from_numpy(np.stack([smoothed(shows) for shows in inside.double().numpy()])) > 0
    torch.testing.assert_close(found.double()[near], expected[near], rtol=0, atol=1e-4)
    padded = torch.where(inside[:, None], maps, 1e3)
    assert torch.equal(head(padded, inside), found)
    assert (found[~near] == -1).all()
    # what is cut out alone gives the same
    torch.testing.assert_close(found[:1, 2:7], head(maps[:1, :, 2:7]), rtol=0, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision_changes_nothing(dtype):
    inside = torch.zeros(2, 16, 16, dtype=torch.bool)
    inside[:, 6:9] = True
    head, maps = AttentionThreshold(in_channels=3), random_maps(2, 3, 16, 16) / 256
    with torch.autocast('cpu', dtype=dtype):
        found = head(maps, inside)
    assert torch.equal(found, head(maps, inside))


def test_heads_that_do_not_look_make_an_empty_mask():
    assert (AttentionThreshold(in_channels=2)(torch.zeros(1, 2, 5, 5)) == -1).all()
    assert AttentionThreshold(in_channels=2)(torch.zeros(0, 2, 5, 5)).shape == (0, 5, 5)


def test_it_has_nothing_to_train_or_to_store():
    head = AttentionThreshold(in_channels=2)
    assert not list(head.parameters())
    assert not head.state_dict()


@pytest.mark.parametrize('shape', [(1, 3, 5, 5), (2, 5, 5)])
def test_other_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r'attention maps must be \[N, 2, h, w\], got shape'):
        AttentionThreshold(in_channels=2)(torch.zeros(shape))
