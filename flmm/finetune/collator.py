"""Conversations -> one padded batch with labels for the assistant's words alone.

Letters: B conversations, S tokens of the longest one, P patches of all images, N images.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from flmm.finetune.chat_dataset import Conversation
from flmm.finetune.plain_text import render_chat

IGNORE_INDEX = -100


class ChatCollator:
    """Turns conversations into model inputs; feeds ``Trainer`` as ``data_collator``.

    The processor writes the chat template, resizes images and repeats image tokens. A label is kept for the words of
    every assistant turn and for the ``<|im_end|>`` that closes it; everything else (system and user turns, images, the
    assistant's header, padding) is :data:`IGNORE_INDEX`.

    Args:
        processor: a Qwen2-VL or Qwen2.5-VL processor whose chat template is ChatML: a turn is
            ``<|im_start|>role\\n...<|im_end|>``.
        max_length: longer sequences lose their end; None keeps all.

    Raises:
        ValueError: when called, naming the conversation: a text forges a special token (:func:`render_chat`), the
            template shows other assistant turns or images than the conversation has, the processor refuses an image's
            aspect ratio, or cutting to ``max_length`` would lose image tokens or every label of a conversation.
            ``max_length`` below 1, when constructed.
    """

    def __init__(self, processor: Any, *, max_length: int | None = None) -> None:
        if max_length is not None and max_length < 1:
            raise ValueError(f'max_length is {max_length}, expected at least 1, or None to keep all')
        self.processor = processor
        self.max_length = max_length
        tokenizer = processor.tokenizer
        self._header = tokenizer.encode('<|im_start|>assistant\n', add_special_tokens=False)
        self._end = tokenizer.convert_tokens_to_ids('<|im_end|>')

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, mm_token_type_ids, labels [B, S]; for images also pixel_values [P, 1176]
        and image_grid_thw [N, 3].
        """
        texts = [self._render(c, len(c.images)) for c in conversations]
        for c in conversations:
            self._image_token_counts(c, [image.size for image in c.images])  # the processor would not name the image
        images = [image for c in conversations for image in c.images]
        batch = dict(
            self.processor(text=texts, images=images or None, padding=True, padding_side='right', return_tensors='pt')
        )
        batch['labels'] = self._labels(batch['input_ids'], batch['attention_mask'], conversations)
        return self._cut(batch, conversations) if self.max_length is not None else batch

    def check(self, conversation: Conversation, image_sizes: Sequence[tuple[int, int]]) -> None:
        """Raise what a call would raise for a conversation, of its images by their (width, height) in px alone."""
        before, *pieces = self._render(conversation, len(image_sizes)).split(self.processor.image_token)
        counts = self._image_token_counts(conversation, image_sizes)
        text = before + ''.join(
            self.processor.image_token * count + piece for count, piece in zip(counts, pieces, strict=True)
        )
        input_ids = torch.tensor([self.processor.tokenizer(text, add_special_tokens=False)['input_ids']])
        batch = {'input_ids': input_ids, 'mm_token_type_ids': input_ids == self.processor.image_token_id}
        batch['labels'] = self._labels(input_ids, torch.ones_like(input_ids), [conversation])
        if self.max_length is not None:
            self._cut(batch, [conversation])

    def _render(self, conversation: Conversation, num_images: int) -> str:
        text = render_chat(self.processor, conversation)
        shown = text.count(self.processor.image_token)
        if shown != num_images:
            raise ValueError(
                f'{conversation.source}: the chat template shows {shown} images, the conversation has {num_images}'
            )
        return text

    def _image_token_counts(self, conversation: Conversation, sizes: Sequence[tuple[int, int]]) -> list[int]:
        """How many tokens images of these (width, height) take, or an error that names the one that is refused."""
        processor = self.processor.image_processor
        unit = processor.patch_size * processor.merge_size
        bounds = {'min_pixels': processor.size['shortest_edge'], 'max_pixels': processor.size['longest_edge']}
        names = conversation.image_names or range(len(sizes))
        return [
            _num_pixels(*size, where=f'{conversation.source}: image {name!r}', factor=unit, **bounds) // unit**2
            for name, size in zip(names, sizes, strict=True)
        ]

    def _labels(self, input_ids: Tensor, attention_mask: Tensor, conversations: Sequence[Conversation]) -> Tensor:
        labels = torch.full_like(input_ids, IGNORE_INDEX)
        for row, conversation in enumerate(conversations):
            ids = input_ids[row, attention_mask[row].bool()].tolist()
            spans = assistant_spans(ids, self._header, self._end)
            turns = sum(message['role'] == 'assistant' for message in conversation.messages)
            if len(spans) != turns:
                raise ValueError(
                    f'{conversation.source}: the tokenized text shows {len(spans)} assistant turns, the conversation '
                    f'has {turns}; the chat template must be ChatML and no answer may begin with a line break'
                )
            for start, stop in spans:
                labels[row, start:stop] = input_ids[row, start:stop]
        return labels

    def _cut(self, batch: dict[str, Tensor], conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        lost_images = (batch['mm_token_type_ids'][:, self.max_length :] != 0).any(dim=1)
        lost_labels = (batch['labels'][:, : self.max_length] == IGNORE_INDEX).all(dim=1)
        for row, conversation in enumerate(conversations):
            if lost_images[row] or lost_labels[row]:
                what = 'image tokens' if lost_images[row] else 'every answer'
                raise ValueError(
                    f'{conversation.source}: cutting to max_length={self.max_length} loses {what}; raise max_length or '
                    f'lower max_pixels of the image processor'
                )
        sequences = ('input_ids', 'attention_mask', 'mm_token_type_ids', 'labels')
        return {key: value[:, : self.max_length] if key in sequences else value for key, value in batch.items()}


def assistant_spans(ids: list[int], header: list[int], end: int) -> list[tuple[int, int]]:
    """Where the assistant speaks: [start, stop) of every turn, the closing ``end`` included, the header not.

    A turn that is never closed runs to the end of ``ids``.
    """
    spans, position = [], 0
    while position <= len(ids) - len(header):
        if ids[position : position + len(header)] != header:
            position += 1
            continue
        start = position + len(header)
        stop = ids.index(end, start) + 1 if end in ids[start:] else len(ids)
        spans.append((start, stop))
        position = stop
    return spans


def _num_pixels(width: int, height: int, *, where: str, **resizing: int) -> int:
    """How many pixels smart_resize leaves of an image."""
    try:
        return math.prod(smart_resize(height, width, **resizing))
    except ValueError as error:
        raise ValueError(
            f'{where} of {width} x {height} px: {error}; crop it, or leave the conversation out'
        ) from error
