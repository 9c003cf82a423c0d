"""Read the attention of phrase tokens to image tokens while the frozen model runs, without eager attention.

Letters: B samples, S tokens (padded), R phrase tokens of a sample, M its masks (= phrases), N the image tokens of all
its views, A query heads, K key heads, D head dim, L layers run, C chosen heads.

The attention function below runs SDPA and, given a capture, also softmax(q k^T) for the R phrase rows alone: R x S
numbers a head in place of S x S, averaged over the tokens of a phrase at once, so M x N numbers a head are kept. This
is what ``attn_implementation='eager'`` with ``output_attentions=True`` gives, restricted to those rows and columns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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
        image_columns: [N] long, positions of the image tokens, view after view.
        num_masks: M.
    """

    rows: Tensor
    mask_ids: Tensor
    image_columns: Tensor
    num_masks: int

    @classmethod
    def from_mask_ids(cls, mask_ids: Tensor, *, image_columns: Tensor, num_masks: int) -> 'PhraseTokens':
        """Find the phrase tokens in ``mask_ids``, [S]."""
        rows = (mask_ids >= 0).nonzero().squeeze(1)
        rows = rows[mask_ids[rows].argsort(stable=True)]  # phrases may come in any order in the sequence
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
        heads: The heads to read of each layer, ascending.
    """

    phrases: list[PhraseTokens]
    merge: str
    heads: dict[int, list[int]]
    layers: list[list[Tensor]] = field(default_factory=list)

    def record(self, layer: int, query: Tensor, key: Tensor, scaling: float) -> None:
        """Compute the maps of a layer's chosen heads.

        Args:
            layer: counted from 0; called for ascending ones.
            query: [B, A, S, D], after RoPE.
            key: [B, K, S, D], after RoPE.
            scaling: What the logits are multiplied with.
        """
        if layer not in self.heads:
            return
        maps = [
            tokens.merge(self._attention(query[i], key[i], tokens, scaling, self.heads[layer]), how=self.merge)
            for i, tokens in enumerate(self.phrases)
        ]
        self.layers.append(maps)

    @staticmethod
    def _attention(query: Tensor, key: Tensor, tokens: PhraseTokens, scaling: float, heads: list[int]) -> Tensor:
        """Return the [heads, R, N] attention of the phrase rows to the image columns, softmax in float32."""
        group = len(query) // len(key)  # query heads that share a key head
        if len(heads) < len(query):
            # A key head stands once for each query head that reads it, as if there were no groups.
            query, key, group = query[heads], key[[head // group for head in heads]], 1
        num_rows, length = len(tokens.rows), key.shape[1]
        # Rows attend to nothing behind them, so right padding, which is, needs no mask of its own.
        grouped = query[:, tokens.rows].reshape(len(key), group * num_rows, -1)
        logits = (grouped @ key.transpose(1, 2)).float().reshape(len(query), num_rows, length) * scaling
        behind = torch.arange(length, device=key.device) > tokens.rows[:, None]
        return logits.masked_fill(behind, -torch.inf).softmax(dim=-1)[..., tokens.image_columns]

    def maps(self) -> list[Tensor]:
        """Return one [M, C, N] float32 tensor for each sample; channels by layer, then by head."""
        return [torch.cat(layers, dim=0).transpose(0, 1) for layers in zip(*self.layers, strict=True)]


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
        attention_capture.record(module.layer_idx, query, key, kwargs['scaling'])
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(CAPTURING_SDPA, capturing_sdpa)
AttentionMaskInterface.register(CAPTURING_SDPA, sdpa_mask)


@contextmanager
def first_layers(decoder: nn.Module, depth: int) -> Iterator[list[nn.Module]]:
    """Let a decoder of transformers run its first ``depth`` layers only, as long as the context lasts.

    Yields:
        The modules whose outputs are ``output_hidden_states``' entries 1..depth: the layers, and the final norm in
        place of the decoder's last layer.
    """
    layers = decoder.layers
    outputs = [*layers[: len(layers) - 1], decoder.norm][:depth]
    decoder.layers = layers[:depth]
    try:
        yield outputs
    finally:
        decoder.layers = layers


class HiddenStateCapture:
    """Context manager that collects the hidden states of phrase tokens.

    Args:
        modules: whose outputs, [B, S, hidden], are the hidden states, in the order in which they run.
        phrases: one PhraseTokens for each sample of the batch.
    """

    def __init__(self, *, modules: list[nn.Module], phrases: list[PhraseTokens]) -> None:
        self._modules = modules
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
        return [torch.stack(layers) for layers in zip(*self._states, strict=True)]
