"""What must hold after a step and a prediction, whatever the weights: gradients, and sums of attention.

Letters: M phrases, C heads of all layers, A query heads and K key heads of a layer, P tokens of image and prompt,
T tokens of texts that are read together behind them, D head dim, N image tokens of all views.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.models import FrozenLMM
from flmm.models.attention_capture import AttentionCapture, PackedTexts
from flmm.structures import GroundingSample

TOLERANCE = 1e-4
"""Of a sum of attention in float32."""
TOLERANCE_BFLOAT16 = 1e-2
"""Of one whose logits, some units large, were rounded to bfloat16."""


class CheckError(ValueError):
    """Something that must hold does not."""


@dataclass(frozen=True, kw_only=True)
class SeenLayer:
    """What a layer made of texts that were read together.

    Args:
        query: [A, T, D].
        key: [K, P + T, D].
        scaling: of the logits.
    """

    query: Tensor
    key: Tensor
    scaling: float


@dataclass
class SeenMaps:
    """What passed through the model while it was watched; everything of one sample.

    Args:
        maps: [M, C, N], attention to the tokens of all views, before they are laid onto a grid.
        first_layer: the first layer that is read, of all texts, in their order.
    """

    maps: list[Tensor] = field(default_factory=list)
    first_layer: list[SeenLayer] = field(default_factory=list)


@contextmanager
def watched_maps(model: FrozenLMM) -> Iterator[SeenMaps]:
    """Keep what the model reads of one sample."""
    seen = SeenMaps()
    record, on_grid = AttentionCapture.record, model.on_grid

    def recording(
        capture: AttentionCapture, layer: int, query: Tensor, key: Tensor, scaling: float, group: PackedTexts
    ) -> Tensor:
        if layer == min(capture.heads):
            seen.first_layer.append(SeenLayer(query=query, key=key, scaling=scaling))
        return record(capture, layer, query, key, scaling, group)

    def laying(sample: GroundingSample, maps: Tensor) -> Tensor:
        seen.maps.append(maps)
        return on_grid(sample, maps)

    with mock.patch.object(AttentionCapture, 'record', recording), mock.patch.object(model, 'on_grid', laying):
        yield seen


def check_gradients(model: FrozenLMM) -> dict[str, int]:
    """After ``backward``: every trained tensor has a finite gradient, a frozen one has none.

    Returns:
        How many tensors are trained, and how many are frozen.

    Raises:
        CheckError: naming the tensors.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = [name for name, parameter in trained.items() if parameter.grad is None]
    problems = {
        'have no gradient': without,
        'have a gradient that is not finite': [
            name for name, parameter in trained.items() if name not in without and not parameter.grad.isfinite().all()
        ],
        'are frozen and have a gradient': [
            name for name, parameter in model.named_parameters() if name not in trained and parameter.grad is not None
        ],
    }
    for problem, names in problems.items():
        if names:
            raise CheckError(f'{len(names)} parameters {problem}: {", ".join(names)}')
    frozen = sum(1 for _ in model.parameters()) - len(trained)
    return {'trained_tensors': len(trained), 'frozen_tensors': frozen}


def check_maps(model: FrozenLMM, sample: GroundingSample, seen: SeenMaps) -> dict[str, Any]:
    """Attention to the image is a share of 1; laid onto the grids it stays; one layer is that of its queries and keys.

    Returns:
        The smallest and largest share over phrases and heads, and the largest differences.

    Raises:
        CheckError: saying which does not hold, and by how much.
    """
    (maps,) = seen.maps
    shares = maps.sum(dim=-1)  # [M, C]
    least, most = shares.min().item(), shares.max().item()
    if not 0 < least <= most <= 1 + TOLERANCE:
        raise CheckError(f'attention to the image sums to {least} to {most} over phrases and heads, expected (0, 1]')
    counts = [len(view.columns) for view in sample.views]
    lost = max(
        (view.layout.to_dense(part).sum(dim=(-2, -1)) - part.sum(dim=-1)).abs().max().item()
        for view, part in zip(sample.views, maps.split(counts, dim=-1), strict=True)
    )
    if not lost <= TOLERANCE:
        raise CheckError(f'attention laid onto a grid sums to {lost} more or less than before')
    first = model.heads[min(model.heads)]
    apart = (shares[:, : len(first)] - one_minus_text(sample, seen, first)).abs().max().item()
    if not apart <= TOLERANCE_BFLOAT16:
        raise CheckError(f'attention to the image and to the text of layer {min(model.heads)} sum to 1 +- {apart}')
    return {'least_share': least, 'largest_share': most, 'lost_on_grid': lost, 'apart_from_1_minus_text': apart}


def one_minus_text(sample: GroundingSample, seen: SeenMaps, heads: list[int]) -> Tensor:
    """1 minus the attention of each phrase to text, in double precision from a layer's queries and keys: [M, heads]."""
    prompt = torch.ones(sample.prompt_length, dtype=torch.bool)
    prompt[torch.cat([view.columns for view in sample.views])] = False  # [P], where it is text
    texts = iter(sample.texts)
    shares: list[list[Tensor]] = [[] for _ in sample.phrases]  # of each token [heads]
    for layer in seen.first_layer:
        query, key = layer.query.double(), layer.key.double()
        key = key.repeat_interleave(len(query) // len(key), dim=0)  # [A, P + T, D]
        of_prompt, of_texts = key[heads].split([len(prompt), query.shape[1]], dim=1)
        start = 0
        while start < query.shape[1]:
            mask_ids = sample.mask_ids[next(texts)].tolist()
            for token, phrase in enumerate(mask_ids):
                if phrase < 0:
                    continue
                # What a token may see: image and prompt, and its own text up to itself.
                visible = torch.cat([of_prompt, of_texts[:, start : start + token + 1]], dim=1)
                logits = query[heads, start + token, None] @ visible.transpose(1, 2) * layer.scaling
                is_text = F.pad(prompt, (0, token + 1), value=True)
                shares[phrase].append(1 - logits.softmax(dim=-1)[:, 0, is_text].sum(dim=1))
            start += len(mask_ids)
    return torch.stack([torch.stack(tokens).mean(dim=0) for tokens in shares])
