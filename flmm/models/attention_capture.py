"""Read the attention of phrase tokens to image tokens while the frozen model runs, without eager attention.

An image and its prompt are read once and kept (:class:`flmm.reading.Prefix`). The texts of all phrases then go through
the LMM packed into one row; each token attends to the prefix that its text follows and to the tokens before it in its
own text, so a text is read as if nothing else were there. That pass is where attention is captured.

Letters: T tokens packed behind one prefix, P tokens of the prefix, R phrase tokens among T, M masks (= phrases), N the
image tokens of all views, A query heads, K key heads, D head dim, L layers run, C chosen heads.

The attention function below runs SDPA and, given a capture, also softmax(q k^T) for the R phrase rows alone, averaged
over the tokens of a phrase at once, so M x N numbers a head are kept. This is what ``attn_implementation='eager'`` with
``output_attentions=True`` gives, restricted to those rows and columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from flmm.reading import Prefix

CAPTURING_SDPA = 'flmm_capturing_sdpa'


@dataclass(kw_only=True, frozen=True)
class PhraseTokens:
    """Which tokens of a row belong to which phrase.

    Args:
        rows: [R] long, positions of the phrase tokens, phrase by phrase.
        mask_ids: [R] long, ascending, the phrase each belongs to; every one of 0..num_masks-1 occurs.
        num_masks: M.
    """

    rows: Tensor
    mask_ids: Tensor
    num_masks: int

    @classmethod
    def from_mask_ids(cls, mask_ids: Tensor) -> 'PhraseTokens':
        """Find the phrase tokens in ``mask_ids``, -1 where a token belongs to none."""
        rows = (mask_ids >= 0).nonzero().squeeze(1)
        rows = rows[mask_ids[rows].argsort(stable=True)]  # phrases may come in any order in the sequence
        return cls(rows=rows, mask_ids=mask_ids[rows], num_masks=int(mask_ids.max()) + 1)

    def merge(self, values: Tensor, *, how: str) -> Tensor:
        """Reduce [..., R, N] over the tokens of each phrase to [..., M, N]; ``how`` is 'mean' or 'max'."""
        index = self.mask_ids[:, None].expand_as(values)
        merged = values.new_zeros(*values.shape[:-2], self.num_masks, values.shape[-1])
        reduce = {'mean': 'mean', 'max': 'amax'}[how]
        return merged.scatter_reduce(-2, index, values, reduce=reduce, include_self=False)


@dataclass(kw_only=True, frozen=True)
class PackedTexts:
    """Texts that follow one prefix, one behind the other; none sees another.

    Args:
        prefix: what they follow.
        image_columns: [N] long, positions of the image tokens in the prefix, view after view.
        lengths: how many tokens each text has; they add up to T.
        mask_ids: [T] long, the phrase of each token, counted over all texts; -1 is context.
    """

    prefix: Prefix
    image_columns: Tensor
    lengths: Sequence[int]
    mask_ids: Tensor
    tokens: PhraseTokens = field(init=False)
    allowed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'tokens', PhraseTokens.from_mask_ids(self.mask_ids))
        device = self.mask_ids.device
        text = torch.repeat_interleave(torch.tensor(self.lengths, device=device))  # [T], which one a token is of
        place = torch.arange(len(text), device=device)
        own = (text[:, None] == text) & (place[:, None] >= place)  # [T, T]
        prefix = own.new_ones(len(text), len(self.prefix.input_ids))
        object.__setattr__(self, 'allowed', torch.cat([prefix, own], dim=1))  # [T, P + T], what each token may see

    def to(self, device: torch.device) -> 'PackedTexts':
        """Bring the masks to the device of a layer; an LMM may lie on several."""
        if self.mask_ids.device == device:
            return self
        return replace(self, image_columns=self.image_columns.to(device), mask_ids=self.mask_ids.to(device))

    @property
    def positions(self) -> Tensor:
        """[T] long, the rotary positions: each text begins where the prefix ends."""
        steps = torch.cat([torch.arange(length, device=self.mask_ids.device) for length in self.lengths])
        return steps + self.prefix.next_position


@dataclass(kw_only=True)
class AttentionCapture:
    """Collects, layer by layer, the attention maps of one packed row.

    Args:
        groups: The texts in the row: those of one prefix, then those of the next.
        merge: how the tokens of a phrase become one map: 'mean' or 'max'.
        heads: The heads to read of each layer, ascending.
    """

    groups: list[PackedTexts]
    merge: str
    heads: dict[int, list[int]]
    layers: list[list[Tensor]] = field(default_factory=list)

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **kwargs: object) -> Tensor:
        """Run the attention of a layer, over the prefixes, too, and record its maps.

        Args:
            module: the attention module of the layer.
            query: [1, A, sum of T, D], after RoPE.
            key: [1, K, sum of T, D], after RoPE.
            value: [1, K, sum of T, D].
            **kwargs: what transformers' SDPA attention takes.

        Returns:
            [1, sum of T, A, D].
        """
        layer = module.layer_idx
        sizes = [len(group.mask_ids) for group in self.groups]
        outputs, maps = [], []
        for group, *parts in zip(self.groups, *(part.split(sizes, dim=2) for part in (query, key, value)), strict=True):
            own_query, own_key, own_value = parts
            group = group.to(query.device)
            keys = torch.cat([group.prefix.keys[layer], own_key], dim=2)  # [1, K, P + T, D]
            values = torch.cat([group.prefix.values[layer], own_value], dim=2)
            if layer in self.heads:
                maps.append(self.record(layer, own_query[0], keys[0], kwargs['scaling'], group))
            mask = group.allowed[None, None]
            outputs.append(sdpa_attention_forward(module, own_query, keys, values, mask, **kwargs)[0])
        if maps:
            self.layers.append(maps)
        return torch.cat(outputs, dim=1)

    def record(self, layer: int, query: Tensor, key: Tensor, scaling: float, group: PackedTexts) -> Tensor:
        """Compute the maps of a layer's chosen heads, softmax in float32.

        Args:
            layer: counted from 0.
            query: [A, T, D].
            key: [K, P + T, D], of the prefix and of the texts.
            scaling: What the logits are multiplied with.
            group: the texts.

        Returns:
            [heads, M, N], the attention of each phrase to the image.
        """
        heads, tokens = self.heads[layer], group.tokens
        per_key = len(query) // len(key)  # query heads that share a key head
        if len(heads) < len(query):
            # A key head stands once for each query head that reads it, as if there were no groups.
            query, key, per_key = query[heads], key[[head // per_key for head in heads]], 1
        num_rows, length = len(tokens.rows), key.shape[1]
        grouped = query[:, tokens.rows].reshape(len(key), per_key * num_rows, -1)
        logits = (grouped @ key.transpose(1, 2)).float().reshape(len(query), num_rows, length) * scaling
        logits.masked_fill_(~group.allowed[tokens.rows], -torch.inf)
        attention = logits.softmax(dim=-1)[..., group.image_columns]  # [heads, R, N]
        return tokens.merge(attention, how=self.merge)

    def maps(self) -> list[Tensor]:
        """Return one [M, C, N] float32 tensor for each group; channels by layer, then by head."""
        return [
            torch.cat([maps.to(group.mask_ids.device) for maps in layers], dim=0).transpose(0, 1)
            for group, layers in zip(self.groups, zip(*self.layers, strict=True), strict=True)
        ]


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
    """transformers' SDPA attention; over kept prefixes where the model was called with an ``attention_capture``."""
    if attention_capture is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return attention_capture.attend(module, query, key, value, **kwargs), None


AttentionInterface.register(CAPTURING_SDPA, capturing_sdpa)
AttentionMaskInterface.register(CAPTURING_SDPA, sdpa_mask)
