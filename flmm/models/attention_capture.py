"""Read the attention of phrase tokens to image tokens while the frozen model runs, without eager attention.

Letters: B samples, S tokens (padded), R phrase tokens of a sample, M its masks (= phrases), N its image tokens, A query
heads, K key heads, D head dim, L layers.

The attention function below runs SDPA and, given a capture, also softmax(q k^T) for the R phrase rows alone: R x S
numbers a head in place of S x S, averaged over the tokens of a phrase at once, so M x N numbers a head are kept. This
is what ``attn_implementation='eager'`` with ``output_attentions=True`` gives, restricted to those rows and columns.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CAPTURING_SDPA = 'flmm_capturing_sdpa'


@dataclass(kw_only=True, frozen=True)
class PhraseTokens:
    """Where the phrases and the image of one sample lie in its sequence.

    Args:
        rows: [R] long, positions of the phrase tokens, phrase by phrase.
        mask_ids: [R] long, ascending, the phrase each belongs to; every one of 0..num_masks-1 occurs.
        image_columns: [N] long, positions of the image tokens.
        num_masks: M.
    """

    rows: Tensor
    mask_ids: Tensor
    image_columns: Tensor
    num_masks: int

    @classmethod
    def from_ids(cls, *, input_ids: Tensor, mask_ids: Tensor, image_token_id: int, num_masks: int) -> 'PhraseTokens':
        """Find phrase and image tokens in ``input_ids`` and ``mask_ids``, both [S]."""
        rows = (mask_ids >= 0).nonzero().squeeze(1)
        rows = rows[mask_ids[rows].argsort(stable=True)]  # phrases may come in any order in the sequence
        image_columns = (input_ids == image_token_id).nonzero().squeeze(1)
        return cls(rows=rows, mask_ids=mask_ids[rows], image_columns=image_columns, num_masks=num_masks)

    def merge(self, values: Tensor, *, how: str) -> Tensor:
        """Reduce [..., R, N] over the tokens of each phrase to [..., M, N]; ``how`` is 'mean' or 'max'."""
        index = self.mask_ids[:, None].expand_as(values)
        merged = values.new_zeros(*values.shape[:-2], self.num_masks, values.shape[-1])
        reduce = {'mean': 'mean', 'max': 'amax'}[how]
        return merged.scatter_reduce(-2, index, values, reduce=reduce, include_self=False)


@dataclass(kw_only=True)
class AttentionCapture:
    """Collects, layer by layer, the attention maps of a right-padded batch.

    Args:
        phrases: one PhraseTokens for each sample of the batch.
        merge: how the tokens of a phrase become one map: 'mean' or 'max'.
    """

    phrases: list[PhraseTokens]
    merge: str
    layers: list[list[Tensor]] = field(default_factory=list)

    def record(self, query: Tensor, key: Tensor, scaling: float) -> None:
        """Compute the maps of one layer. ``query`` is [B, A, S, D] and ``key`` [B, K, S, D], both after RoPE."""
        maps = [
            tokens.merge(self._attention(query[i], key[i], tokens, scaling), how=self.merge)
            for i, tokens in enumerate(self.phrases)
        ]
        self.layers.append(maps)

    @staticmethod
    def _attention(query: Tensor, key: Tensor, tokens: PhraseTokens, scaling: float) -> Tensor:
        """Return the [A, R, N] attention of the phrase rows to the image columns, softmax in float32."""
        heads, _, dim = query.shape
        key_heads, length, _ = key.shape
        # Rows attend to nothing behind them, so right padding, which is, needs no mask of its own.
        grouped = query[:, tokens.rows].reshape(key_heads, heads // key_heads * len(tokens.rows), dim)
        logits = (grouped @ key.transpose(1, 2)).float().reshape(heads, len(tokens.rows), length) * scaling
        behind = torch.arange(length, device=key.device) > tokens.rows[:, None]
        return logits.masked_fill(behind, -torch.inf).softmax(dim=-1)[..., tokens.image_columns]

    def maps(self) -> list[Tensor]:
        """Return one [M, L * A, N] float32 tensor for each sample; channel = layer * A + head."""
        return [torch.cat(of_sample, dim=0).transpose(0, 1) for of_sample in zip(*self.layers, strict=True)]


def capturing_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    attention_capture: AttentionCapture | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """transformers' SDPA attention; records into ``attention_capture`` when the model was called with one."""
    if attention_capture is not None:
        attention_capture.record(query, key, kwargs['scaling'])
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(CAPTURING_SDPA, capturing_sdpa)
AttentionMaskInterface.register(CAPTURING_SDPA, sdpa_mask)


class HiddenStateCapture:
    """Context manager that collects the hidden states of phrase tokens after each layer of a frozen decoder.

    What is kept is ``output_hidden_states``' entries 1..L, at the phrase rows: the outputs of layers 1..L-1 and, for
    the last layer, the output of the final norm.

    Args:
        layers: the decoder layers, in order.
        norm: the decoder's final norm.
        phrases: one PhraseTokens for each sample of the batch.
    """

    def __init__(self, *, layers: nn.ModuleList, norm: nn.Module, phrases: list[PhraseTokens]) -> None:
        self._modules = [*layers[:-1], norm]
        self._phrases = phrases
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._states: list[list[Tensor]] = []

    def __enter__(self) -> 'HiddenStateCapture':
        self._handles = [module.register_forward_hook(self._record) for module in self._modules]
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _record(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self._states.append([output[i, tokens.rows] for i, tokens in enumerate(self._phrases)])

    def states(self) -> list[Tensor]:
        """Return one [L, R, hidden] tensor for each sample."""
        return [torch.stack(of_sample) for of_sample in zip(*self._states, strict=True)]
