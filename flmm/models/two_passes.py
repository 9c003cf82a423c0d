"""Both passes through the LMM: what samples begin with, each beginning once, then the texts of their phrases.

Letters: M masks (= phrases) of a sample, R their tokens, N tokens of all views of an image, C chosen attention heads, L
layers run.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flmm.alike import begin_alike, distinct
from flmm.models.head_selection import attention_layers
from flmm.models.phrase_pass import PhraseText, read_texts
from flmm.models.prompt_pass import read_prompts
from flmm.reading import Prefix
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.models.frozen_lmm import FrozenLMM

MAX_FORWARD_TOKENS = 4_096
"""So many tokens of images and prompts, padding included, go through the LMM together, or one prompt. Their keys and
values are in memory until their phrases are read: 2 GB of them in LLaVA-1.5-7B, whose heads share none.
"""


def read_samples(
    model: 'FrozenLMM', samples: Sequence[GroundingSample], *, heads: dict[int, list[int]]
) -> list[tuple[Tensor, Tensor]]:
    """Read image, prompt and phrases of each sample; what begins alike is read once.

    Args:
        model: the LMM, and how its family reads images.
        samples: the batch.
        heads: the heads to read of each layer.

    Returns:
        For each sample [M, C, N] float32 attention to the tokens of all views, and [L, R, hidden], the hidden states of
        its phrase tokens.

    Raises:
        ValueError: a sample does not begin as what its ``reading`` was made of, or that is another model's.
    """
    beginnings, index = distinct(samples, same=begin_alike)
    found: list[tuple[Tensor, Tensor] | None] = [None] * len(samples)
    for chunk in prompt_chunks(model, beginnings):
        texts: list[PhraseText] = []
        counts: dict[int, int] = {}  # of texts, by the number of their sample
        for i, prefix in zip(chunk, _prefixes(model, [beginnings[i] for i in chunk]), strict=True):
            columns = torch.cat([view.columns for view in beginnings[i].views])
            for n in (n for n, kind in enumerate(index) if kind == i):
                own = _texts(samples[n], prefix, columns)
                texts += own
                counts[n] = len(own)
        read = iter(read_texts(model.lmm.model.language_model, texts, merge=model.merge, heads=heads))
        for n, count in counts.items():
            maps, states = zip(*(next(read) for _ in range(count)), strict=True)
            found[n] = torch.cat(maps), torch.cat(states, dim=1)
    return found


def prompt_chunks(model: 'FrozenLMM', samples: Sequence[GroundingSample]) -> Iterator[list[int]]:
    """Split prompts into runs of at most ``MAX_FORWARD_TOKENS``, padding included, or of one.

    A run is of images or of videos. Each prompt is a run by itself where layers without attention would carry padding
    on in their state.

    Args:
        model: what will read them.
        samples: each with its prompt.

    Yields:
        The numbers of the samples of a run.
    """
    alone = len(attention_layers(model.lmm.config.get_text_config())) < model.num_layers
    chunk: list[int] = []
    for i, sample in enumerate(samples):
        longest = max(samples[j].prompt_length for j in (*chunk, i))
        is_full = alone or longest * (len(chunk) + 1) > MAX_FORWARD_TOKENS
        if chunk and (is_full or samples[chunk[0]].is_video != sample.is_video):
            yield chunk
            chunk = []
        chunk.append(i)
    yield chunk


def _prefixes(model: 'FrozenLMM', samples: list[GroundingSample]) -> list[Prefix]:
    """Return the prefix of each sample: that of its reading, or else read now."""
    for sample in samples:
        if sample.reading is not None:
            model.check_made_by(f'the reading of image {sample.image_path!r} was', sample.reading.made_by)
            sample.reading.check_begins(sample, depth=model.depth)
    unread = [sample for sample in samples if sample.reading is None]
    read = iter(read_prompts(model, unread, depth=model.depth)) if unread else iter(())
    return [next(read) if sample.reading is None else sample.reading.prefix for sample in samples]


def _texts(sample: GroundingSample, prefix: Prefix, image_columns: Tensor) -> list[PhraseText]:
    """Return what stands behind the prompt of a sample, text by text."""
    texts = []
    for places in sample.texts:
        mask_ids = sample.mask_ids[places]
        texts.append(
            PhraseText(
                prefix=prefix,
                image_columns=image_columns,
                input_ids=sample.input_ids[places],
                mask_ids=torch.zeros_like(mask_ids) if sample.independent else mask_ids,
            )
        )
    return texts
