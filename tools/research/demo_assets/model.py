"""The demo model: stock Qwen2.5-VL classes with small numbers, and two layers that train faster on CPU."""

import math
from collections import defaultdict
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLVisionAttention,
    apply_rotary_pos_emb_vision,
)

HEAD_DIM = 24


def build_config(
    processor: Qwen2_5_VLProcessor,
    *,
    vision_depth: int = 4,
    vision_heads: int = 4,
    text_layers: int = 4,
    text_heads: int = 6,
) -> Qwen2_5_VLConfig:
    """State the demo model. Rotary bases and sections suit grids of at most 32 x 32 patches and 16 x 16 tokens.

    The axes of the text model's rotary embedding are interleaved (time, row, column, time, ...), so that each of them
    gets high and low frequencies; Qwen2.5-VL's blocks would leave the column axis the slowest ones only.
    """
    tokenizer = processor.tokenizer
    ids = {name: tokenizer.convert_tokens_to_ids(f'<|{name}|>') for name in ('vision_start', 'vision_end')}
    return Qwen2_5_VLConfig(
        vision_config={
            'depth': vision_depth,
            'hidden_size': HEAD_DIM * vision_heads,
            'intermediate_size': 2 * HEAD_DIM * vision_heads,
            'num_heads': vision_heads,
            'out_hidden_size': HEAD_DIM * text_heads,
            'patch_size': 14,
            'spatial_merge_size': 2,
            'temporal_patch_size': 2,
            'window_size': 112,
            'fullatt_block_indexes': list(range(1, vision_depth, 2)),
            'initializer_range': 0.08,
            'rope_parameters': {'rope_type': 'axial', 'rope_theta': 100.0},
        },
        text_config={
            'vocab_size': len(tokenizer),
            'hidden_size': HEAD_DIM * text_heads,
            'intermediate_size': 2 * HEAD_DIM * text_heads,
            'num_hidden_layers': text_layers,
            'num_attention_heads': text_heads,
            'num_key_value_heads': text_heads,
            'max_position_embeddings': 4096,
            'initializer_range': 0.08,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 100.0, 'mrope_section': [1] * (HEAD_DIM // 2)},
            'bos_token_id': None,
            'eos_token_id': tokenizer.eos_token_id,
            'pad_token_id': tokenizer.pad_token_id,
            'tie_word_embeddings': True,
        },
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        vision_start_token_id=ids['vision_start'],
        vision_end_token_id=ids['vision_end'],
        tie_word_embeddings=True,
        initializer_range=0.08,
    )


def build_model(config: Qwen2_5_VLConfig) -> Qwen2_5_VLForConditionalGeneration:
    """Build an untrained model whose first layer sees low frequencies, as a trained one's does."""
    model = Qwen2_5_VLForConditionalGeneration(config)
    projection = model.model.visual.patch_embed.proj
    with torch.no_grad():
        projection.weight.copy_(_cosine_filters(projection.weight.shape))
    return model


def _cosine_filters(shape: torch.Size) -> Tensor:
    """[out, 3, 2, p, p]: the products of low-frequency cosines over a patch, lowest first, in three colour mixtures."""
    out, channels, frames, patch, _ = shape
    grid = (torch.arange(patch) + 0.5) / patch
    waves = torch.stack([torch.cos(math.pi * k * grid) * (1.0 if k else math.sqrt(0.5)) for k in range(patch)])
    order = sorted(((i, j) for i in range(patch) for j in range(patch)), key=lambda ij: (ij[0] + ij[1], ij))
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    filters = torch.empty(shape)
    for n in range(out):
        i, j = order[n // channels]
        filters[n] = (colours[n % channels][:, None, None] * torch.outer(waves[i], waves[j]))[:, None]
    return filters * (2.0 / patch / frames)


class LinearPatchEmbed(Qwen2_5_VisionPatchEmbed):
    """The patch embedding as one matrix product: the same parameters and values, faster on CPU."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[P, 1176] -> [P, embed_dim]."""
        return F.linear(hidden_states.to(self.proj.weight.dtype), self.proj.weight.flatten(1))


class BatchedVisionAttention(Qwen2_5_VLVisionAttention):
    """Attends within all windows of one length at once, where the stock class loops over windows."""

    def forward(
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: object,
    ) -> Tensor:
        """[P, C] -> [P, C]; ``cu_seqlens`` are the borders of the windows."""
        length = hidden_states.shape[0]
        q, k, v = self.qkv(hidden_states).reshape(length, 3, self.num_heads, -1).unbind(1)
        q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
        rows_by_size = defaultdict(list)
        borders = cu_seqlens.tolist()
        for start, stop in pairwise(borders):
            rows_by_size[stop - start].append(start)
        rows, outputs = [], []
        for size, starts in rows_by_size.items():
            index = (torch.tensor(starts)[:, None] + torch.arange(size)).flatten().to(q.device)
            windows = [
                t.index_select(0, index).view(len(starts), size, self.num_heads, -1).transpose(1, 2) for t in (q, k, v)
            ]
            outputs.append(F.scaled_dot_product_attention(*windows, scale=self.scaling).transpose(1, 2).flatten(0, 1))
            rows.append(index)
        output = torch.cat(outputs).index_select(0, torch.argsort(torch.cat(rows)))
        return self.proj(output.reshape(length, -1))


def use_fast_layers(model: nn.Module) -> None:
    """Swap in the two layers above, in place; parameters and their names stay."""
    visual = model.model.visual
    visual.patch_embed = _recast(visual.patch_embed, LinearPatchEmbed(embed_dim=visual.patch_embed.embed_dim))
    for block in visual.blocks:
        block.attn = _recast(block.attn, BatchedVisionAttention(visual.config))


def _recast(old: nn.Module, new: nn.Module) -> nn.Module:
    new.load_state_dict(old.state_dict())
    return new.to(next(old.parameters()).device)
