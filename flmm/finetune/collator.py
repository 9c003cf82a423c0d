"""Conversations -> one padded batch with labels for the assistant's words alone.

Letters: B conversations, S tokens of the longest one, P patches of all images, N images.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flmm.finetune.chat_dataset import Conversation

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
        ValueError: when called, if the template shows other assistant turns than the conversation has, or if cutting to
            ``max_length`` would lose image tokens or every label of a conversation.
    """

    def __init__(self, processor: Any, *, max_length: int | None = None) -> None:
        self.processor = processor
        self.max_length = max_length
        tokenizer = processor.tokenizer
        self._header = tokenizer.encode('<|im_start|>assistant\n', add_special_tokens=False)
        self._end = tokenizer.convert_tokens_to_ids('<|im_end|>')

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, mm_token_type_ids, labels [B, S]; for images also pixel_values [P, 1176]
        and image_grid_thw [N, 3].
        """
        texts = [self.processor.apply_chat_template(c.messages, tokenize=False) for c in conversations]
        images = [image for c in conversations for image in c.images]
        batch = dict(
            self.processor(text=texts, images=images or None, padding=True, padding_side='right', return_tensors='pt')
        )
        batch['labels'] = self._labels(batch['input_ids'], batch['attention_mask'], conversations)
        return self._cut(batch, conversations) if self.max_length is not None else batch

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
