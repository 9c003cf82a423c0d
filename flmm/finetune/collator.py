"""Conversations -> one padded batch with labels for the assistant's words alone.

Letters: B conversations, S tokens of the longest one, P patches of all images, N images; Q patches of all videos, V
videos.
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

    The processor writes the chat template, resizes images and repeats image and video tokens; videos have their size. A
    label is kept for the words of every assistant turn and for the ``<|im_end|>`` that closes it; everything else
    (system and user turns, images, videos, the assistant's header, padding) is :data:`IGNORE_INDEX`.

    Args:
        processor: a Qwen2-VL or Qwen2.5-VL processor whose chat template is ChatML: a turn is
            ``<|im_start|>role\\n...<|im_end|>``.
        max_length: longer sequences lose their end; None keeps all.

    Raises:
        ValueError: when called, naming the conversation: a text forges a special token (:func:`render_chat`), the
            template shows other assistant turns, images or videos than the conversation has, the processor refuses an
            image's aspect ratio, the sides of a video are no multiples of a token's, or cutting to ``max_length`` would
            lose image or video tokens, or every label of a conversation. ``max_length`` below 1, when constructed.
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
        and image_grid_thw [N, 3]; for videos pixel_values_videos [Q, 1176] and video_grid_thw [V, 3], with Qwen2.5-VL
        also second_per_grid_ts [V].
        """
        texts = [self._render(c, len(c.images), len(c.videos)) for c in conversations]
        for c in conversations:  # the processor would not name the image or the video
            self._image_token_counts(c, [image.size for image in c.images])
            self._video_token_counts(c, [tuple(clip.frames.shape) for clip in c.videos])
        images = [image for c in conversations for image in c.images]
        clips = [clip for c in conversations for clip in c.videos]
        settings = {'do_sample_frames': False, 'do_resize': False, 'video_metadata': [clip.metadata for clip in clips]}
        batch = dict(
            self.processor(
                text=texts,
                images=images or None,
                videos=[clip.frames for clip in clips] or None,
                videos_kwargs=settings if clips else {},
                padding=True,
                padding_side='right',
                return_tensors='pt',
            )
        )
        batch['labels'] = self._labels(batch['input_ids'], batch['attention_mask'], conversations)
        return self._cut(batch, conversations) if self.max_length is not None else batch

    def check(
        self,
        conversation: Conversation,
        image_sizes: Sequence[tuple[int, int]],
        video_shapes: Sequence[tuple[int, ...]] = (),
    ) -> None:
        """Raise what a call would raise for a conversation, by sizes alone.

        Args:
            conversation: its pixels are not looked at.
            image_sizes: (width, height) in px of its images.
            video_shapes: [T, 3, H, W] of the frames of its videos.
        """
        text = self._render(conversation, len(image_sizes), len(video_shapes))
        for token, counts in (
            (self.processor.image_token, self._image_token_counts(conversation, image_sizes)),
            (self.processor.video_token, self._video_token_counts(conversation, video_shapes)),
        ):
            before, *pieces = text.split(token)
            text = before + ''.join(token * count + piece for count, piece in zip(counts, pieces, strict=True))
        input_ids = torch.tensor([self.processor.tokenizer(text, add_special_tokens=False)['input_ids']])
        places = torch.tensor([self.processor.image_token_id, self.processor.video_token_id])
        batch = {'input_ids': input_ids, 'mm_token_type_ids': torch.isin(input_ids, places)}
        batch['labels'] = self._labels(input_ids, torch.ones_like(input_ids), [conversation])
        if self.max_length is not None:
            self._cut(batch, [conversation])

    def _render(self, conversation: Conversation, num_images: int, num_videos: int) -> str:
        text = render_chat(self.processor, conversation)
        for kind, token, count in (
            ('images', self.processor.image_token, num_images),
            ('videos', self.processor.video_token, num_videos),
        ):
            shown = text.count(token)
            if shown != count:
                raise ValueError(
                    f'{conversation.source}: the chat template shows {shown} {kind}, the conversation has {count}'
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

    def _video_token_counts(self, conversation: Conversation, shapes: Sequence[tuple[int, ...]]) -> list[int]:
        """How many tokens videos with frames of these shapes take, or an error that names the one that doesn't fit."""
        processor = self.processor.video_processor
        unit = processor.patch_size * processor.merge_size
        names = conversation.video_names or range(len(shapes))
        for name, (_, _, height, width) in zip(names, shapes, strict=True):
            if height % unit or width % unit:
                raise ValueError(
                    f'{conversation.source}: video {name!r} has frames of {width} x {height} px, expected multiples of '
                    f'{unit}; read it with FrameSize(unit={unit}, ...)'
                )
        return [
            frames // processor.temporal_patch_size * (height // unit) * (width // unit)
            for frames, _, height, width in shapes
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
                what = 'image or video tokens' if lost_images[row] else 'every answer'
                raise ValueError(
                    f'{conversation.source}: cutting to max_length={self.max_length} loses {what}; raise max_length, '
                    f'lower max_pixels of the image processor, or read fewer or smaller frames of videos'
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
