"""The second pass through the LMM: the texts of phrases, behind images and prompts that were read before.

Letters: t tokens of a text, T of all texts of a pass, m phrases of a text, r their tokens, N image tokens of all views,
C chosen attention heads, L layers run.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from flmm.models.attention_capture import CAPTURING_SDPA, AttentionCapture, PackedTexts
from flmm.models.prefix_cache import CACHE, cache_of_states
from flmm.models.private_modules import first_layers
from flmm.reading import Prefix

MAX_PACKED_TOKENS = 512
"""So many tokens of texts go through the LMM together, or one text; what attention takes grows with their square."""


@dataclass(kw_only=True, frozen=True)
class PhraseText:
    """A text behind a prompt: one phrase, or several with what stands between them.

    Args:
        prefix: image and prompt.
        image_columns: [N] long, positions of the image tokens in the prefix, view after view. Texts behind the same
            image share this tensor.
        input_ids: [t] long.
        mask_ids: [t] long, 0..m-1 where a token is of a phrase, else -1.
    """

    prefix: Prefix
    image_columns: Tensor
    input_ids: Tensor
    mask_ids: Tensor

    @cached_property
    def num_masks(self) -> int:
        """The number of its phrases, m."""
        return int(self.mask_ids.max()) + 1


def read_texts(
    decoder: nn.Module, texts: Sequence[PhraseText], *, merge: str, heads: dict[int, list[int]]
) -> list[tuple[Tensor, Tensor]]:
    """Read texts, each as if it were the only one.

    Args:
        decoder: the language model of transformers.
        texts: those behind the same image stand together.
        merge: how the tokens of a phrase become one map: 'mean' or 'max'.
        heads: the heads to read of each layer; layers behind the last one do not run.

    Returns:
        For each text [m, C, N] float32 attention, channels by layer, then by head; and [L, r, hidden], the hidden
        states of its phrase tokens, phrase by phrase.

    Raises:
        ValueError: the attention of the decoder is not :data:`flmm.models.attention_capture.CAPTURING_SDPA`.
    """
    attention = decoder.config._attn_implementation
    if attention != CAPTURING_SDPA:
        raise ValueError(
            f"the LMM's attention was set to {attention!r}, which keeps no maps; set it back: "
            f"lmm.set_attn_implementation({{'text_config': {CAPTURING_SDPA!r}}})"
        )
    return [found for row in _rows(texts) for found in _read_row(decoder, row, merge=merge, heads=heads)]


def _rows(texts: Sequence[PhraseText]) -> Iterator[list[PhraseText]]:
    """Split texts into rows that one pass reads. A layer without attention carries a state: it reads one at a time."""
    row: list[PhraseText] = []
    for text in texts:
        num_tokens = sum(len(each.input_ids) for each in (*row, text))
        if row and (num_tokens > MAX_PACKED_TOKENS or text.prefix.carries):
            yield row
            row = []
        row.append(text)
    if row:
        yield row


def _read_row(
    decoder: nn.Module, row: list[PhraseText], *, merge: str, heads: dict[int, list[int]]
) -> list[tuple[Tensor, Tensor]]:
    members = [list(texts) for _, texts in itertools.groupby(row, key=_behind)]
    groups = [_pack(texts) for texts in members]
    sizes = [len(group.mask_ids) for group in groups]
    capture = AttentionCapture(groups=groups, merge=merge, heads=heads)
    states: list[list[Tensor]] = [[] for _ in groups]  # of each group [R, hidden] for each layer

    def see(output: Tensor) -> None:
        for seen, group, hidden in zip(states, groups, output[0].split(sizes), strict=True):
            rows = group.tokens.rows  # an LMM may lie on several devices
            seen.append(hidden[rows.to(hidden.device)].to(rows.device))

    first_layers(decoder, max(heads) + 1, seen=see)(
        input_ids=torch.cat([text.input_ids for text in row])[None],
        position_ids=torch.cat([group.positions for group in groups])[None],
        attention_capture=capture,
        **_carried(decoder.config, row[0].prefix),
    )
    found = []
    for texts, maps, seen in zip(members, capture.maps(), states, strict=True):
        num_phrases = [text.num_masks for text in texts]
        num_tokens = [int((text.mask_ids >= 0).sum()) for text in texts]
        found += zip(maps.split(num_phrases), torch.stack(seen).split(num_tokens, dim=1), strict=True)
    return found


def _behind(text: PhraseText) -> tuple[int, int]:
    """Tell what a text stands behind: the prefix alone does not say which of its tokens are the image."""
    return id(text.prefix), id(text.image_columns)


def _pack(texts: list[PhraseText]) -> PackedTexts:
    mask_ids, num_masks = [], 0
    for text in texts:
        mask_ids.append(torch.where(text.mask_ids >= 0, text.mask_ids + num_masks, -1))
        num_masks += text.num_masks
    return PackedTexts(
        prefix=texts[0].prefix,
        image_columns=texts[0].image_columns,
        lengths=[len(text.input_ids) for text in texts],
        mask_ids=torch.cat(mask_ids),
    )


def _carried(config: Any, prefix: Prefix) -> dict[str, Any]:
    """What the layers without attention go on from."""
    if not prefix.carries:
        return {'use_cache': False}
    return {CACHE: cache_of_states(prefix, config), 'use_cache': True}
