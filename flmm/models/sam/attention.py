"""Attention of SAM's image encoder without its matrix in memory.

Letters: B windows or images, A heads, D head dim, (H, W) the grid of patches, S = H * W.

segment_anything adds to the logits of query (i, j) and key (k, l) a term of the rows and one of the columns,
q . R[i - k] + q . R'[j - l] (decomposed relative positions, Li et al., "MViTv2", CVPR 2022), and holds the [S, S]
matrix of each head. Both terms are scalar products once the query carries its H row terms and W column terms, and the
key says in one-hot codes which row and column it is at:

    [q / sqrt(D), q . R[i - 0 .. i - (H-1)], q . R'[j - 0 .. j - (W-1)]] . [k, onehot(row), onehot(column)]

so SDPA's kernels, which never hold the matrix, compute the same.
"""

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor

ALIGNMENT = 8
"""Fused kernels want head dims that are a multiple of this, and the same for query, key and value."""


class SdpaAttention(Attention):
    """segment_anything's Attention with the same parameters, through ``scaled_dot_product_attention``."""

    @classmethod
    def from_attention(cls, attention: Attention) -> 'SdpaAttention':
        """Make one that shares the parameters of ``attention``."""
        made = cls.__new__(cls)
        made.__dict__.update(attention.__dict__)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each of the B grids: [B, H, W, A * D] -> [B, H, W, A * D]."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # [B, A, S, D] each
        head_dim = query.shape[-1]
        if self.use_rel_pos:
            query, key = self._with_positions(query, key, (height, width))
        else:
            query = query * self.scale
        wide = -(-query.shape[-1] // ALIGNMENT) * ALIGNMENT
        query, key, value = (F.pad(part, (0, wide - part.shape[-1])) for part in (query, key, value))
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :head_dim]
        return self.proj(attended.transpose(1, 2).reshape(batch, height, width, -1))

    def _with_positions(self, query: Tensor, key: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Append the row and column terms to [B, A, S, D] queries, and the codes to the keys."""
        height, width = grid
        at_places = query.unflatten(2, grid)
        rows = torch.einsum('bahwd,hkd->bahwk', at_places, get_rel_pos(height, height, self.rel_pos_h))
        columns = torch.einsum('bahwd,wkd->bahwk', at_places, get_rel_pos(width, width, self.rel_pos_w))
        codes = torch.cat(
            [
                torch.eye(height, dtype=key.dtype, device=key.device).repeat_interleave(width, dim=0),
                torch.eye(width, dtype=key.dtype, device=key.device).repeat(height, 1),
            ],
            dim=1,
        )
        query = torch.cat([query * self.scale, rows.flatten(2, 3), columns.flatten(2, 3)], dim=-1)
        return query, torch.cat([key, codes.expand(*key.shape[:2], -1, -1)], dim=-1)


def use_sdpa(encoder: ImageEncoderViT) -> None:
    """Let every block of ``encoder`` attend through SDPA; its parameters stay the same objects under the same names."""
    for block in encoder.blocks:
        block.attn = SdpaAttention.from_attention(block.attn)
