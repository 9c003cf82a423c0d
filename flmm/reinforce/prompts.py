"""Prompts for reinforcement, and what is true of them, read from a JSON-lines file of conversations.

The file has the format of supervised fine-tuning (:mod:`flmm.finetune.chat_format`), and one file may serve both: what
a line has under ``truth`` (:mod:`flmm.reinforce.truth`) is for rewards, and a last answer of the assistant for
supervision alone. A prompt ends with the user's turn and shows one image.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from flmm.finetune import ChatCollator, ChatDataset, Conversation
from flmm.json_files import parse_json
from flmm.reinforce.answer import AnswerFrame
from flmm.reinforce.truth import Truth, parse_truth

COORDINATES = ('resized', 'thousandths', 'image')
"""What the numbers of answers count: px of the image as the LMM reads it, as Qwen2.5-VL does; thousandths of width and
height, as Qwen2-VL does; or px of the image itself."""
KEYS = {'rles': '"masks"', 'boxes': '"boxes" or "masks"', 'points': '"points", "boxes" or "masks"'}
"""The keys of a line that give a field of :class:`Truth`."""


class PromptDataset(Dataset):
    """The prompts of one file. All of it but the pixels of images is checked on construction.

    Args:
        path: the JSON-lines file.
        processor: of the LMM; a Qwen2-VL or Qwen2.5-VL processor.
        needs: fields of :class:`Truth` that rewards read: each prompt must have them.
        coordinates: one of :data:`COORDINATES`.
        **settings: :class:`~flmm.finetune.ChatDataset`'s.

    Raises:
        ValueError: a line that :class:`~flmm.finetune.ChatDataset`, :class:`~flmm.finetune.ChatCollator` or
            :func:`parse_truth` refuses, that shows a video, or not one image, or lacks a truth that is needed; names
            file, line and key.
    """

    def __init__(
        self,
        path: str | Path,
        processor: Any,
        *,
        needs: Collection[str],
        coordinates: str = 'resized',
        **settings: Any,
    ) -> None:
        if coordinates not in COORDINATES:
            raise ValueError(f'coordinates is {coordinates!r}, expected one of {COORDINATES}')
        records = list(_records(Path(path)))
        self.conversations = ChatDataset(path, needs_answer=False, **settings)
        self.coordinates = coordinates
        collator = ChatCollator(processor)
        self._known = [
            self._check(index, record, collator, needs) for index, record in zip(range(len(self)), records, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return prompt ``index``: ``prompt`` (messages) and ``images`` as TRL reads them, and for rewards ``truth``
        (:class:`Truth`), ``frame`` (:class:`AnswerFrame`) and ``source`` ('file:line').
        """
        conversation = self.conversations[index]
        truth, frame = self._known[index]
        return {
            'prompt': _ending_with_user(conversation).messages,
            'images': conversation.images,
            'truth': truth,
            'frame': frame,
            'source': conversation.source,
        }

    def _check(
        self, index: int, record: dict[str, Any], collator: ChatCollator, needs: Collection[str]
    ) -> tuple[Truth, AnswerFrame]:
        conversation = _ending_with_user(self.conversations.without_images(index))
        where, sizes = conversation.source, self.conversations.image_sizes(index)
        if len(sizes) != 1:
            raise ValueError(f'{where}: the messages show {len(sizes)} images, expected one, which the truth is of')
        collator.check(conversation, sizes)
        reader = self.conversations.reader
        truth = parse_truth(
            record.get('truth'),
            where=f'{where}: truth',
            image_size=sizes[0],
            image_root=reader.image_root,
            allow_outside=reader.allow_outside,
        )
        for field in needs:
            if getattr(truth, field) is None:
                raise ValueError(f'{where}: truth has no {KEYS[field]}, which a reward needs')
        size = {
            'resized': _read_size(collator.processor.image_processor, *sizes[0]),
            'thousandths': (1000, 1000),
            'image': sizes[0],
        }[self.coordinates]
        return truth, AnswerFrame(image_size=sizes[0], size=size)


def _ending_with_user(conversation: Conversation) -> Conversation:
    if conversation.messages[-1]['role'] == 'assistant':
        return replace(conversation, messages=conversation.messages[:-1])
    return conversation


def _read_size(image_processor: Any, width: int, height: int) -> tuple[int, int]:
    """Width and height in px at which the LMM reads an image of these."""
    height, width = smart_resize(
        height,
        width,
        factor=image_processor.patch_size * image_processor.merge_size,
        min_pixels=image_processor.size['shortest_edge'],
        max_pixels=image_processor.size['longest_edge'],
    )
    return width, height


def _records(path: Path) -> Iterator[Any]:
    """Yield what the lines are, those that are no JSON as None (ChatDataset refuses them); a video is refused."""
    if not path.is_file():
        return
    with path.open('rb') as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                record = _parsed(line)
                place = _first_video(record)
                if place is not None:
                    raise ValueError(
                        f'{path}:{number}: {place} is a video, and the GRPOTrainer of TRL takes images alone; leave '
                        'the line out, or show single frames'
                    )
                yield record


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line, where='the line')
    except ValueError:
        return None


def _first_video(record: Any) -> str | None:
    messages = record.get('messages') if isinstance(record, dict) else None
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get('content') if isinstance(message, dict) else None
        for j, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get('type') == 'video':
                return f'messages[{i}].content[{j}]'
    return None
