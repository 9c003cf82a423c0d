"""Conversations about images, read from a JSON-lines file.

One line is one conversation, in the message format of transformers' chat templates (here broken for reading):

.. code-block:: text

    {"messages": [
        {"role": "system", "content": "You locate shapes."},
        {"role": "user", "content": [{"type": "image", "image": "images/0001.png"},
                                     {"type": "text", "text": "Where is the star?"}]},
        {"role": "assistant", "content": "Left of the square."}]}

A system message may come first or not at all; then user and assistant take turns, and the assistant has the last word.
``content`` is a string or a list of parts. Only users show images; an image path is relative to ``image_root``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from flmm.images import read_rgb

# These tokens delimit turns and images. Inside a text they would forge a turn or an image.
STRUCTURE_TOKENS = (
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|vision_pad|>',
    '<|image_pad|>',
    '<|video_pad|>',
)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One conversation, ready for :class:`~flmm.finetune.ChatCollator`.

    Args:
        messages: what ``apply_chat_template`` takes; image parts are bare ``{'type': 'image'}``.
        images: the RGB images in the order of the image parts.
        source: where it came from (``file:line``), for error messages.
    """

    messages: list[dict[str, Any]]
    images: list[Image.Image]
    source: str


class ChatDataset(Dataset):
    """The conversations of one JSON-lines file. The whole file is checked on construction; images are read on access.

    Args:
        path: the JSON-lines file. Blank lines are skipped.
        image_root: folder that image paths are relative to; the file's own folder if None.

    Raises:
        ValueError: the file holds no conversation, or a line is malformed; names file, line and key.
    """

    def __init__(self, path: str | Path, *, image_root: str | Path | None = None) -> None:
        self.path = Path(path)
        self.image_root = Path(image_root) if image_root is not None else self.path.parent
        self._lines: list[tuple[int, list[dict[str, Any]]]] = []
        with self.path.open(encoding='utf-8') as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._lines.append((number, self._parse(line, f'{self.path}:{number}')))
        if not self._lines:
            raise ValueError(f'{self.path}: the file holds no conversation')

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Conversation:
        """Return conversation ``index`` with its images loaded. A truncated image raises a ValueError that names it."""
        number, parsed = self._lines[index]
        messages, images = [], []
        for message in parsed:
            parts = []
            for part in message['content']:
                if part['type'] == 'image':
                    path = self.image_root / part['image']
                    images.append(read_rgb(path, name=str(path)))
                    parts.append({'type': 'image'})
                else:
                    parts.append(part)
            messages.append({'role': message['role'], 'content': parts})
        return Conversation(messages=messages, images=images, source=f'{self.path}:{number}')

    def _parse(self, line: str, where: str) -> list[dict[str, Any]]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{where}: not valid JSON ({error})') from error
        messages = record.get('messages') if isinstance(record, dict) else None
        if not isinstance(messages, list) or not messages:
            raise ValueError(f'{where}: expected an object with a non-empty list "messages"')
        parsed = [self._parse_message(message, f'{where}: messages[{i}]') for i, message in enumerate(messages)]
        self._check_turns([message['role'] for message in parsed], where)
        return parsed

    def _parse_message(self, message: Any, where: str) -> dict[str, Any]:
        if not isinstance(message, dict):
            raise ValueError(f'{where}: expected an object with "role" and "content", got {message!r}')
        role = message.get('role')
        if role not in ('system', 'user', 'assistant'):
            raise ValueError(f'{where}.role: expected "system", "user" or "assistant", got {role!r}')
        content = message.get('content')
        if isinstance(content, str):
            content = [{'type': 'text', 'text': content}]
        if not isinstance(content, list) or not content:
            raise ValueError(f'{where}.content: expected a string or a non-empty list of parts, got {content!r}')
        parts = [self._parse_part(part, role, f'{where}.content[{i}]') for i, part in enumerate(content)]
        return {'role': role, 'content': parts}

    def _parse_part(self, part: Any, role: str, where: str) -> dict[str, str]:
        kind = part.get('type') if isinstance(part, dict) else None
        if kind not in ('text', 'image'):
            raise ValueError(f'{where}.type: expected "text" or "image", got {kind!r}')
        value = part.get(kind)
        if not isinstance(value, str):
            raise ValueError(f'{where}.{kind}: expected a string, got {value!r}')
        if kind == 'text':
            forged = [token for token in STRUCTURE_TOKENS if token in value]
            if forged:
                raise ValueError(f'{where}.text: the text contains {forged[0]}, which only the chat template may write')
            return {'type': 'text', 'text': value}
        if role != 'user':
            raise ValueError(f'{where}: only a user message may hold an image, this one is of role "{role}"')
        if not (self.image_root / value).is_file():
            raise ValueError(f'{where}.image: no such file: {self.image_root / value}')
        return {'type': 'image', 'image': value}

    @staticmethod
    def _check_turns(roles: list[str], where: str) -> None:
        turns = roles[1:] if roles[0] == 'system' else roles
        expected = ['user', 'assistant'] * (len(turns) // 2)
        if not turns or turns != expected:
            raise ValueError(
                f'{where}: messages must be an optional system message, then user and assistant in turn, ending with '
                f'the assistant; got {roles}'
            )
