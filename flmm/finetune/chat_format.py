"""The chat format: one conversation about images and videos, as a line of JSON.

A line is a conversation in the message format of transformers' chat templates (here broken for reading):

.. code-block:: text

    {"messages": [
        {"role": "system", "content": "You locate shapes."},
        {"role": "user", "content": [{"type": "image", "image": "images/0001.png"},
                                     {"type": "text", "text": "Where is the star?"}]},
        {"role": "assistant", "content": "Left of the square."}]}

A system message may come first or not at all; then user and assistant take turns, and the assistant has the last word.
``content`` is a string or a list of parts. Only users show images and videos; paths are relative to ``image_root``.
A video is a file or the list of its frames, in order of time:

.. code-block:: text

    {"type": "video", "video": "clips/0001.mp4", "fps": 1, "max_frames": 32}
    {"type": "video", "video": ["frames/00.jpg", "frames/01.jpg"], "sample_fps": 4}

Its other keys are those of qwen-vl-utils, all of them optional:

- which frames of a file are read (:class:`flmm.video.FrameSampling`): ``fps`` (2 a second by default) or ``nframes``;
  ``min_frames`` (4), ``max_frames`` (768); ``video_start`` and ``video_end`` in seconds. A list of frames is read whole
  unless one of them is given beside ``sample_fps``.
- at what size (:class:`flmm.video.FrameSize`), in px: ``min_pixels`` and ``max_pixels`` of a frame, ``total_pixels``.
- of a list alone: ``sample_fps``, the rate of its frames (2), and ``raw_fps``, that of the video that they are from.

An image is read at the size of the processor and has no such keys. Keys whose value is null count as absent.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flmm.files import path_inside
from flmm.finetune.special_tokens import SPECIAL_TOKENS, STRUCTURE_TOKENS
from flmm.finetune.video_part import parse_video_part
from flmm.images import check_image_settings, read_image_size
from flmm.json_files import parse_json
from flmm.video import FrameSize

ROLES = ('system', 'user', 'assistant')


class ChatReader:
    """Reads conversations line by line, and checks all of them but the pixels.

    Args:
        image_root: folder that paths of images and videos are relative to.
        allow_outside: whether those paths may lead out of ``image_root``: be absolute, hold '..', or be a link.
        assistant_tokens: special tokens that the assistant's text may contain, such as '<|box_start|>'; never those
            that delimit turns or images.
        orientation: what to do with pictures that EXIF says to turn (:func:`flmm.images.read_rgb`).
        max_pixels: largest width times height of an image or a frame; more are refused.
        frame_size: the size at which videos are read that do not say otherwise.
        needs_answer: whether the assistant must have the last word; if not, the user may.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(
        self,
        *,
        image_root: Path,
        allow_outside: bool,
        assistant_tokens: Sequence[str],
        orientation: str,
        max_pixels: int,
        frame_size: FrameSize,
        needs_answer: bool = True,
    ) -> None:
        check_image_settings(orientation=orientation, max_pixels=max_pixels)
        texts = [token for token in assistant_tokens if isinstance(token, str) and token not in ('', *STRUCTURE_TOKENS)]
        if len(texts) < len(assistant_tokens) or isinstance(assistant_tokens, str):
            raise ValueError(
                f'assistant_tokens is {assistant_tokens!r}, expected a list of special tokens; those that delimit '
                f'turns and images ({", ".join(STRUCTURE_TOKENS)}) cannot be allowed'
            )
        self.image_root, self.allow_outside = image_root, allow_outside
        self.assistant_tokens = tuple(assistant_tokens)
        self.orientation, self.max_pixels = orientation, max_pixels
        self.frame_size = frame_size
        self.needs_answer = needs_answer

    def read(self, line: bytes, *, where: str) -> list[dict[str, Any]]:
        """Return the messages of a line, each with its list of parts: of images with their names and sizes, of
        videos with what :func:`parse_video_part` returns.

        Raises:
            ValueError: the line is malformed, or names no readable image or video; says ``where``, and which key.
        """
        record = parse_json(line, where=f'{where}: the line')
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
        if role not in ROLES:
            raise ValueError(f'{where}.role: expected "system", "user" or "assistant", got {role!r}')
        content = message.get('content')
        if isinstance(content, str):
            content = [{'type': 'text', 'text': content}]
        if not isinstance(content, list) or not content:
            raise ValueError(f'{where}.content: expected a string or a non-empty list of parts, got {content!r}')
        parts = [self._parse_part(part, role, f'{where}.content[{i}]') for i, part in enumerate(content)]
        self._check_text(parts, role, where)
        return {'role': role, 'content': parts}

    def _check_text(self, parts: list[dict[str, Any]], role: str, where: str) -> None:
        """Refuse special tokens in the text of a message, also where parts make one together."""
        texts = [part.get('text', '') for part in parts]
        joined = ''.join(texts)
        allowed = self.assistant_tokens if role == 'assistant' else ()
        found = [(joined.index(token), token) for token in SPECIAL_TOKENS if token in joined and token not in allowed]
        if found:
            start, token = min(found)
            ends = np.cumsum([len(text) for text in texts])
            first, last = np.searchsorted(ends, [start, start + len(token) - 1], side='right')
            if first == last:
                problem = f'{where}.content[{first}].text: the text contains'
            else:
                problem = f'{where}.content[{first}:{last + 1}]: the texts together contain'
            hint = '' if token in STRUCTURE_TOKENS else '; name it in assistant_tokens if answers are to contain it'
            raise ValueError(f'{problem} {token}, which only the chat template may write{hint}')

    def _parse_part(self, part: Any, role: str, where: str) -> dict[str, Any]:
        kind = part.get('type') if isinstance(part, dict) else None
        if kind not in ('text', 'image', 'video'):
            raise ValueError(f'{where}.type: expected "text", "image" or "video", got {kind!r}')
        value = part.get(kind)
        if kind != 'video' and not isinstance(value, str):
            raise ValueError(f'{where}.{kind}: expected a string, got {value!r}')
        others = [key for key in part if key not in ('type', kind) and part[key] is not None]
        if kind != 'video' and others:
            of_size = ' images of all lines have the size of --min-pixels and --max-pixels;' if kind == 'image' else ''
            raise ValueError(f'{where}.{others[0]}: of a part of type "{kind}" it has no effect;{of_size} leave it out')
        if kind == 'text':
            try:
                value.encode()
            except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can write
                raise ValueError(f'{where}.text: not Unicode text ({error})') from error
            return {'type': 'text', 'text': value}
        if role != 'user':
            article = 'an image' if kind == 'image' else 'a video'
            raise ValueError(f'{where}: only a user message may hold {article}, this one is of role "{role}"')
        settings = {'orientation': self.orientation, 'max_pixels': self.max_pixels}
        if kind == 'video':
            return parse_video_part(
                part,
                where,
                root=self.image_root,
                allow_outside=self.allow_outside,
                frame_size=self.frame_size,
                **settings,
            )
        try:
            path = path_inside(self.image_root, value, allow_outside=self.allow_outside)
            if not os.path.lexists(path):
                raise ValueError(f'no such file: {path}')
            size = read_image_size(path, name=str(path), **settings)
        except ValueError as error:
            raise ValueError(f'{where}.image: {error}') from error
        return {'type': 'image', 'image': value, 'name': str(path), 'size': size}

    def _check_turns(self, roles: list[str], where: str) -> None:
        turns = roles[1:] if roles[0] == 'system' else roles
        expected = [ROLES[1 + i % 2] for i in range(len(turns))]
        if not turns or turns != expected or (self.needs_answer and turns[-1] != 'assistant'):
            ending = 'the assistant' if self.needs_answer else 'either'
            raise ValueError(
                f'{where}: messages must be an optional system message, then user and assistant in turn, ending with '
                f'{ending}; got {roles}'
            )
