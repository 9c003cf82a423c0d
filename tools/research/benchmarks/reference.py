"""F-LMM's algorithm written plainly, as its public code runs it: what flmm is measured against.

Eager attention in the whole LMM with the weights of all layers kept, hidden states of all tokens, logits over the
vocabulary; one sample after the other, one mask after the other; SAM with segment_anything's own attention. It gives
what flmm gives of samples whose phrases are one text (``independent=False``), to rounding.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor

from flmm.geometry import processed_to_image
from flmm.mask_logits import MaskLogits
from flmm.models import FrozenLMM
from flmm.structures import GroundingSample


def stock_inputs(model: FrozenLMM, sample: GroundingSample) -> dict[str, Tensor]:
    """What transformers' model takes of a dense sample."""
    input_ids = sample.input_ids[None]
    inputs = {'input_ids': input_ids, 'attention_mask': torch.ones_like(input_ids), **sample.lmm_inputs}
    if 'image_grid_thw' in inputs:  # Qwen finds positions by them
        inputs['mm_token_type_ids'] = (input_ids == model.lmm.config.image_token_id).int()
    # Not every vision tower casts what it is given.
    return {name: part.to(model.lmm.dtype) if part.is_floating_point() else part for name, part in inputs.items()}


@contextmanager
def attention(model: FrozenLMM, implementation: str) -> Iterator[None]:
    """Let the whole LMM attend by one of transformers' implementations, as ``from_pretrained`` would make it."""
    lmm = model.lmm
    before = {name: getattr(lmm.config, name)._attn_implementation for name in lmm.config.sub_configs}
    lmm.set_attn_implementation(implementation)
    try:
        yield
    finally:
        lmm.set_attn_implementation(before)


@torch.no_grad()
def stock_forward(model: FrozenLMM, sample: GroundingSample) -> Tensor:
    """The plain forward, which gives no map: transformers' SDPA, no ``lm_head``."""
    with attention(model, 'sdpa'):
        return model.lmm.model(**stock_inputs(model, sample), use_cache=False).last_hidden_state


@torch.no_grad()
def read_phrases(model: FrozenLMM, sample: GroundingSample) -> tuple[list[Tensor], Tensor]:
    """Attention maps of each phrase, M of [C, h, w], and hidden states of phrase tokens, [layers, R, hidden]."""
    inputs = stock_inputs(model, sample)
    with attention(model, 'eager'):
        output = model.lmm(**inputs, output_attentions=True, output_hidden_states=True, use_cache=False)
    weights = [layer[0] for layer in output.attentions if layer is not None]
    phrases = [sample.mask_ids == mask_id for mask_id in range(sample.num_masks)]
    merged = [torch.cat([layer[:, rows].mean(dim=1) for layer in weights]) for rows in phrases]  # each [C, S]
    maps = [on_last_grid(model, sample, each) for each in merged]
    states = torch.stack(output.hidden_states[1:])[:, 0]
    return maps, states[:, sample.mask_ids >= 0]


def on_last_grid(model: FrozenLMM, sample: GroundingSample, attention: Tensor) -> Tensor:
    """Lay the attention of a phrase, [C of a view, tokens], onto the grid of the last view: [C, h, w]."""
    dense = [
        attention[:, view.columns].float().unflatten(1, view.layout.grid_size)[None]  # [1, C, rows, columns]
        for view in sample.views
    ]
    last = sample.views[-1]
    resampled = [model.to_last_view(part, view, last) for part, view in zip(dense[:-1], sample.views[:-1], strict=True)]
    missing = model.num_views - len(dense)
    return torch.cat([*resampled, *dense[-1:] * (missing + 1)], dim=1)[0]


def stock_encoder(model: FrozenLMM) -> ImageEncoderViT:
    """SAM's image encoder with the weights of the model's and segment_anything's own attention."""
    encoder = copy.deepcopy(model.sam.model.image_encoder)
    for block in encoder.blocks:
        block.attn.__class__ = Attention
    return encoder


def embed(model: FrozenLMM, encoder: ImageEncoderViT, sample: GroundingSample) -> dict[str, Tensor]:
    """What ``encoder`` makes of the image of a sample: 'image' [C, e, e]."""
    with mock.patch.object(model.sam.model, 'image_encoder', encoder):
        return model.sam.encode_images([sample.image])[0]


def losses(
    model: FrozenLMM, sample: GroundingSample, maps: list[Tensor], states: Tensor, embedding: dict[str, Tensor]
) -> Tensor:
    """The sum of all losses of a sample, mask by mask."""
    texts = model._text_embeds(sample, states)
    to_image = partial(processed_to_image, meta_data=sample.meta_data)
    coarse, refined = [], []
    for attention, text in zip(maps, texts, strict=True):
        coarse.append(model.mask_head(attention[None]))
        refined.append(model.sam(embedding, sample.image_size, to_image(coarse[-1]), [text]))
    grounded = sample.with_outputs(
        coarse=MaskLogits(small=torch.cat(coarse), image_size=sample.image_size, to_image=to_image),
        refined=MaskLogits.from_image(torch.cat(refined)),
    )
    return sum(model._losses([grounded]).values())
