"""The keys of a published file, each with what becomes of it.

The trained parts of F-LMM and of this package have the same names: ``mask_head`` is mmsegmentation's UNet with
``conv_seg``, ``sam.model`` is segment_anything's Sam, ``text_proj`` and ``text_layer_weights`` are their own. So a name
differs by the prefix of a distributed wrapper at most.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from flmm.convert.trained_part import TrainedPart
from flmm.plain_text import printable

WRAPPER = 'module.'
"""What DistributedDataParallel puts before every name."""
OF_LMM = "of the frozen LMM, which is loaded from the LMM's own checkpoint"
DROPPED = {
    'llava.': OF_LMM,
    'deepseek_vl.': OF_LMM,
    'lmm.': OF_LMM,
    'sam.model.image_encoder.': "of SAM's frozen image encoder, which is loaded from SAM's own checkpoint",
}
"""Beginnings of names that are not taken over, and why."""
STATUSES = ('mapped', 'dropped', 'missing', 'refused')


@dataclass(frozen=True, kw_only=True)
class KeyRow:
    """One key.

    Args:
        key: The name in the published file; None where it is missing there.
        target: The name in the converted file; None where it is not taken over.
        shape: The shape in the published file, or the model's where it is missing there.
        status: 'mapped'; 'dropped', on purpose; 'missing', a weight of the model that the file lacks; 'refused', what
            is neither taken over nor known to be needless. A conversion has none of the last two.
        reason: why it is not mapped, or what else to know.
    """

    key: str | None
    target: str | None
    shape: tuple[int, ...]
    status: str
    reason: str = ''


def match_keys(weights: Mapping[str, Tensor], part: TrainedPart) -> list[KeyRow]:
    """Say of every key of a published file, and of every weight of the model, what becomes of it.

    Args:
        weights: What :func:`flmm.convert.read_published` returns.
        part: The trained part of the model that is to load them.

    Returns:
        The file's keys in its order, then those that it lacks.
    """
    uses = Counter(key.removeprefix(WRAPPER) for key in weights)
    rows = [_row(key, value, part, is_doubled=uses[key.removeprefix(WRAPPER)] > 1) for key, value in weights.items()]
    return rows + [
        KeyRow(key=None, target=name, shape=tuple(shape), status='missing', reason='the model trains it')
        for name, shape in part.weights.items()
        if name not in uses
    ]


def _row(key: str, value: Tensor, part: TrainedPart, *, is_doubled: bool) -> KeyRow:
    name, shape = key.removeprefix(WRAPPER), tuple(value.shape)
    reason = next((reason for prefix, reason in DROPPED.items() if name.startswith(prefix)), None)
    if reason is not None:
        return KeyRow(key=key, target=None, shape=shape, status='dropped', reason=reason)
    expected = part.weights.get(name, part.buffers.get(name))
    if is_doubled:
        problem = f'the file has {name!r} twice, with and without {WRAPPER!r}'
    elif expected is None:
        problem = 'the model has nothing of that name'
    elif shape != tuple(expected):
        problem = f'the model has {tuple(expected)}'
    elif not value.is_floating_point():
        problem = f'holds {value.dtype}, expected floating point numbers'
    elif not value.to(torch.float32).isfinite().all():
        problem = 'holds numbers that are NaN, or infinite in float32'
    else:
        note = 'a constant: compared with the model when it is loaded' if name in part.buffers else ''
        return KeyRow(key=key, target=name, shape=shape, status='mapped', reason=note)
    return KeyRow(key=key, target=None, shape=shape, status='refused', reason=problem)


def converted_weights(weights: Mapping[str, Tensor], rows: Iterable[KeyRow], part: TrainedPart) -> dict[str, Tensor]:
    """Return what the model loads: trained tensors in float32; constants in the precision that the file has them in.

    Raises:
        ValueError: the rows have keys that are missing or refused.
    """
    problems = [row for row in rows if row.status in ('missing', 'refused')]
    if problems:
        listing = '; '.join(
            f'{printable(row.key or row.target)} {row.shape}: {row.status}, {printable(row.reason)}'
            for row in problems[:5]
        )
        raise ValueError(
            f'{len(problems)} keys do not fit the model: {listing}{"; ..." if len(problems) > 5 else ""}. Give the '
            'config of the model that the file was published for, with all attention heads (no layers=, no heads=)'
        )
    # Detached: a file may hold parameters. Copies: tensors that DeepSpeed's flat buffers were cut into would each be
    # saved with the whole buffer.
    return {
        row.target: weights[row.key]
        .detach()
        .to(
            dtype=torch.float32 if row.target in part.weights else None,
            copy=True,
            memory_format=torch.contiguous_format,
        )
        for row in rows
        if row.status == 'mapped'
    }
