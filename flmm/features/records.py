"""A sample with its features, and what of it stands in a shard: a record, which is JSON, and named tensors."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from flmm.apt.layout import TokenLayout
from flmm.geometry import image_to_processed
from flmm.rle import decode_masks, encode_masks
from flmm.structures import FrozenFeatures, GroundingSample, ImageView, PhraseInfo

DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}
ATTENTION_SCALE = 2**15
"""Attention is at most 1 and mostly far below: in float16 it would lose digits under 6e-5."""
PLAIN_FIELDS = ('phrases', 'image_path', 'dataset_name', 'sample_idx', 'prompt_length', 'independent')
"""Fields of GroundingSample that the record holds as they are."""
TENSOR_FIELDS = ('input_ids', 'mask_ids')
"""Fields of GroundingSample that are stored as tensors."""


@dataclass(kw_only=True)
class StoredSample:
    """A sample with its features, and its place.

    Args:
        item: which item of the dataset it comes from.
        draw: which drawing of that item's sentences.
        is_list: whether the item is a list of samples.
        sample: with ``features``.
    """

    item: int
    draw: int
    is_list: bool
    sample: GroundingSample


def to_records(samples: Sequence[StoredSample], *, dtype: str) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Take the samples of a shard apart; :func:`from_record` puts one together.

    Args:
        samples: all samples of the shard's images. The embedding of an image is stored once, for all samples that hold
            the same one.
        dtype: precision of attentions and image embeddings, a key of ``DTYPES``; hidden states stay as they are.

    Returns:
        A record for each sample, and the tensors of all by '<number of the sample>.<name>'.

    Raises:
        ValueError: a number is too large for ``dtype``, or a sample has no truth.
    """
    records: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    embeddings: dict[int, dict[str, str]] = {}
    for number, stored in enumerate(samples):
        sample, features = stored.sample, stored.sample.features
        if sample.gt_masks is None:
            raise ValueError(f'image {sample.image_path!r} has no truth masks; features are stored to train with')
        own = {
            'attentions': (features.attentions * ATTENTION_SCALE).to(DTYPES[dtype]),
            'hidden_states': features.hidden_states,
            **{name: getattr(sample, name) for name in TENSOR_FIELDS},
            **{f'view_{index}.columns': view.columns for index, view in enumerate(sample.views)},
            **{f'view_{index}.layout': view.layout.tokens for index, view in enumerate(sample.views)},
        }
        if id(features.image_embedding) not in embeddings:
            parts = {f'image_embedding.{part}': tensor for part, tensor in features.image_embedding.items()}
            names = zip(features.image_embedding, parts, strict=True)
            embeddings[id(features.image_embedding)] = {part: f'{number}.{name}' for part, name in names}
            own |= {name: tensor.to(DTYPES[dtype]) for name, tensor in parts.items()}
        for name, tensor in own.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise ValueError(f'{name} of {sample.image_path!r} are not finite in {tensor.dtype}; take a wider one')
            tensors[f'{number}.{name}'] = tensor
        records.append(
            {
                'item': stored.item,
                'draw': stored.draw,
                'is_list': stored.is_list,
                'image_embedding': embeddings[id(features.image_embedding)],
                'made_by': features.made_by,
                'gt_masks': _counts(sample.gt_masks),
                'ignore_masks': None if sample.ignore_masks is None else _counts(sample.ignore_masks),
                'phrase_infos': [asdict(info) for info in sample.phrase_infos],
                'views': [{'grid_size': view.layout.grid_size, 'meta_data': view.meta_data} for view in sample.views],
                **{name: getattr(sample, name) for name in PLAIN_FIELDS},
            }
        )
    return records, tensors


def from_record(record: dict[str, Any], tensor: Callable[[str], Tensor]) -> GroundingSample:
    """Put a sample together, without ``image`` and ``lmm_inputs``.

    Attentions and the image embedding come in float32, hidden states in the dtype in which the LMM gave them.

    Args:
        record: one of :func:`to_records`, which may have been JSON meanwhile, with the ``number`` of the sample.
        tensor: gives the tensor of a name.
    """
    number = record['number']
    views = [
        ImageView(
            columns=tensor(f'{number}.view_{index}.columns'),
            layout=TokenLayout(tokens=tensor(f'{number}.view_{index}.layout'), grid_size=tuple(view['grid_size'])),
            meta_data={**view['meta_data'], 'scale_factor': tuple(view['meta_data']['scale_factor'])},  # JSON: lists
        )
        for index, view in enumerate(record['views'])
    ]
    meta_data = views[-1].meta_data
    size = [meta_data['original_shape'][side] for side in ('height', 'width')]
    gt_masks = _masks(record['gt_masks'], size)
    return GroundingSample(
        **{name: tensor(f'{number}.{name}') for name in TENSOR_FIELDS},
        **{name: record[name] for name in PLAIN_FIELDS},
        views=views,
        lmm_inputs=None,
        image=None,
        masks=image_to_processed(gt_masks, meta_data),
        gt_masks=gt_masks,
        ignore_masks=None if record['ignore_masks'] is None else _masks(record['ignore_masks'], size),
        phrase_infos=[PhraseInfo(**info) for info in record['phrase_infos']],
        features=FrozenFeatures(
            attentions=tensor(f'{number}.attentions').float() / ATTENTION_SCALE,
            hidden_states=tensor(f'{number}.hidden_states'),
            image_embedding={part: tensor(name).float() for part, name in record['image_embedding'].items()},
            made_by=record['made_by'],
        ),
    )


def _counts(masks: Tensor) -> list[str]:
    return [rle['counts'] for rle in encode_masks(masks.cpu().numpy())]


def _masks(counts: list[str], size: list[int]) -> Tensor:
    return torch.from_numpy(decode_masks([{'size': size, 'counts': each} for each in counts]))  # [M, IH, IW]
