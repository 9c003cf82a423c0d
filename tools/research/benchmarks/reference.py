"""F-LMM's algorithm written plainly, as its public code runs it: what flmm is measured against.

Eager attention in the whole LMM with the weights of all layers kept, hidden states of all tokens, logits over the
vocabulary; one sample after the other, one mask after the other; SAM with segment_anything's own attention. It gives
what flmm gives, to rounding.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor

from flmm.geometry import processed_to_image
from flmm.models import FrozenQwenSAM
from flmm.structures import GroundingSample


def stock_inputs(model: FrozenQwenSAM, sample: GroundingSample) -> dict[str, Tensor]:
    """What transformers' model takes of a dense sample."""
    input_ids = sample.input_ids[None]
    return {
        'input_ids': input_ids,
        'attention_mask': torch.ones_like(input_ids),
        'mm_token_type_ids': (input_ids == model.lmm.config.image_token_id).int(),
        **sample.lmm_inputs,
    }


@contextmanager
def attention(model: FrozenQwenSAM, implementation: str) -> Iterator[None]:
    """Let the whole LMM attend by one of transformers' implementations, as ``from_pretrained`` would make it."""
    lmm = model.lmm
    before = {name: getattr(lmm.config, name)._attn_implementation for name in ('text_config', 'vision_config')}
    lmm.set_attn_implementation(implementation)
    try:
        yield
    finally:
        lmm.set_attn_implementation(before)


@torch.no_grad()
def stock_forward(model: FrozenQwenSAM, sample: GroundingSample) -> Tensor:
    """The plain forward, which gives no map: transformers' SDPA, no ``lm_head``."""
    with attention(model, 'sdpa'):
        return model.lmm.model(**stock_inputs(model, sample), use_cache=False).last_hidden_state


@torch.no_grad()
def read_phrases(model: FrozenQwenSAM, sample: GroundingSample) -> tuple[list[Tensor], Tensor]:
    """Attention maps of each phrase, M of [C, h, w], and hidden states of phrase tokens, [layers, R, hidden]."""
    inputs = stock_inputs(model, sample)
    with attention(model, 'eager'):
        output = model.lmm(**inputs, output_attentions=True, output_hidden_states=True, use_cache=False)
    is_image = sample.input_ids == model.lmm.config.image_token_id
    maps = []
    for mask_id in range(sample.num_masks):
        rows = sample.mask_ids == mask_id
        merged = torch.cat([weights[0, :, rows][..., is_image].mean(dim=1) for weights in output.attentions]).float()
        maps.append(merged.unflatten(1, sample.grid_size))
    states = torch.stack(output.hidden_states[1:])[:, 0]
    return maps, states[:, sample.mask_ids >= 0]


def stock_encoder(model: FrozenQwenSAM) -> ImageEncoderViT:
    """SAM's image encoder with the weights of the model's and segment_anything's own attention."""
    encoder = copy.deepcopy(model.sam.model.image_encoder)
    for block in encoder.blocks:
        block.attn.__class__ = Attention
    return encoder


def embed(model: FrozenQwenSAM, encoder: ImageEncoderViT, sample: GroundingSample) -> dict[str, Tensor]:
    """What ``encoder`` makes of the image of a sample: 'image' [C, e, e]."""
    with mock.patch.object(model.sam.model, 'image_encoder', encoder):
        return model.sam.encode_images([sample.image])[0]


def losses(
    model: FrozenQwenSAM, sample: GroundingSample, maps: list[Tensor], states: Tensor, embedding: dict[str, Tensor]
) -> Tensor:
    """The sum of all losses of a sample, mask by mask."""
    texts = model._text_embeds(sample, states)
    coarse, refined = [], []
    for attention, text in zip(maps, texts, strict=True):
        coarse.append(model.mask_head(attention[None]))
        in_image = processed_to_image(coarse[-1], sample.meta_data)
        refined.append(model.sam(embedding, sample.image_size, in_image, [text]))
    grounded = copy.copy(sample)
    grounded.sam_pred_masks = torch.cat(refined)
    return sum(model._losses([grounded], [torch.cat(coarse)]).values())
