"""How well an attention map, as it is, says where a mask lies; with the mask, and without one."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def best_threshold_iou(maps: Tensor, coverage: Tensor) -> Tensor:
    """IoU of each map with its mask, at the threshold that is best for the two.

    A threshold takes whole units, of which the mask may cover a part: intersection is what it covers of the taken ones,
    union is the taken ones and what it covers of the others. All thresholds are tried; units of equal attention are
    taken together.

    Args:
        maps: [M, C, h, w], attention of M phrases by C heads.
        coverage: [M, h, w] in 0..1, the share of each unit that the phrase's mask covers.

    Returns:
        [M, C] in 0..1; 0 where the mask is empty.

    Raises:
        ValueError: the shapes do not fit together.
    """
    if maps.ndim != 4 or coverage.shape != (maps.shape[0], *maps.shape[2:]):
        raise ValueError(
            f'maps {tuple(maps.shape)} and coverage {tuple(coverage.shape)} do not fit; expected [M, C, h, w] and '
            '[M, h, w]'
        )
    attention, order = maps.flatten(2).sort(dim=-1, descending=True)
    covered = coverage.to(attention.dtype).flatten(1)[:, None]
    intersection = covered.expand_as(attention).gather(-1, order).cumsum(dim=-1)
    taken = torch.arange(1, attention.shape[-1] + 1, device=maps.device)
    iou = intersection / (taken + covered.sum(dim=-1, keepdim=True) - intersection)
    splits_a_tie = torch.zeros_like(iou, dtype=torch.bool)
    splits_a_tie[..., :-1] = attention[..., 1:] == attention[..., :-1]
    return iou.masked_fill(splits_a_tie, 0).amax(dim=-1)


def spatial_entropy(maps: Tensor) -> Tensor:
    """Tell whether a map has one hot spot or many (LocalizationHeads, arXiv 2503.06287).

    What a map has above its mean falls into 8-connected components. The entropy is that of their shares of this excess:
    0 for one component, ln(n) for n equal ones.

    Args:
        maps: [M, C, h, w], attention of M phrases by C heads.

    Returns:
        [M, C] float64 in nats, on the CPU. ln(h * w), more than any other map has, where a map is the same everywhere
        and so points nowhere.
    """
    values = maps.detach().cpu().double().flatten(0, 1).numpy()  # [M * C, h, w]
    excess = np.maximum(values - values.mean(axis=(1, 2), keepdims=True), 0)
    neighbours = np.zeros((3, 3, 3), dtype=bool)
    neighbours[1] = True  # within a map, not from one map to the next
    labels, number = ndimage.label(excess > 0, structure=neighbours)
    component_excess = np.bincount(labels.ravel(), weights=excess.ravel(), minlength=number + 1)
    map_of_component = np.zeros(number + 1, dtype=int)
    map_of_component[labels] = np.arange(len(values))[:, None, None]
    component_excess, map_of_component = component_excess[1:], map_of_component[1:]  # 0 is what is not above the mean
    totals = np.bincount(map_of_component, weights=component_excess, minlength=len(values))
    shares = component_excess / totals[map_of_component]
    entropy = np.bincount(map_of_component, weights=-shares * np.log(shares), minlength=len(values))
    entropy[totals == 0] = np.log(values[0].size)
    return torch.from_numpy(entropy).unflatten(0, maps.shape[:2])


def elbow(values: Tensor) -> float:
    """Return the value at which the sorted curve of ``values`` bends most: the point farthest from its chord.

    The chord joins the smallest and the largest value. Of a straight line it is the smallest.

    Args:
        values: [n], n >= 1, in any order.
    """
    curve = values.double().sort().values
    chord = torch.lerp(curve[0], curve[-1], torch.linspace(0, 1, len(curve), dtype=torch.float64))
    distance = (curve - chord).abs()  # vertical: the perpendicular one is the same multiple of it at every point
    distance[distance <= 1e-12 * (curve[-1] - curve[0])] = 0
    return curve[distance.argmax()].item()


def selection_frequency(mass: Tensor, entropy: Tensor, *, num_selected: int = 10) -> Tensor:
    """Tell how often a head is among those that localize, by LocalizationHeads' two criteria (arXiv 2503.06287).

    First, heads that look at the image at all: those whose mean attention mass is that of the :func:`elbow` or more.
    Second, for each phrase, of these the ``num_selected`` with the lowest spatial entropy.

    Args:
        mass: [M, C] in 0..1, the part of its attention that each head pays to the image.
        entropy: [M, C], :func:`spatial_entropy`.
        num_selected: how many heads are selected for a phrase; of equal entropy the first ones.

    Returns:
        [C] float64 in 0..1, the part of the phrases for which each head was selected; 0 for heads that do not look.
    """
    looks = mass.double().mean(dim=0) >= elbow(mass.double().mean(dim=0))
    num_selected = min(num_selected, int(looks.sum()))
    order = entropy.double().masked_fill(~looks, torch.inf).argsort(dim=1, stable=True)[:, :num_selected]
    selected = torch.zeros_like(entropy, dtype=torch.float64).scatter(1, order, 1)
    return (selected * looks).mean(dim=0)
