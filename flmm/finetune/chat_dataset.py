"""Conversations about images and videos, from a JSON-lines file of the format that ``chat_format.py`` describes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from flmm.finetune.chat_format import ChatReader
from flmm.images import MAX_IMAGE_PIXELS, read_rgb
from flmm.video import Clip, FrameSize, read_clip


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One conversation, ready for :class:`~flmm.finetune.ChatCollator`.

    Args:
        messages: what ``apply_chat_template`` takes; image and video parts are bare, as ``{'type': 'image'}``.
        images: the RGB images in the order of the image parts.
        source: where it came from (``file:line``), for error messages.
        image_names: what error messages call the images; their numbers if empty.
        assistant_tokens: special tokens that the assistant's text may contain.
        videos: the videos in the order of the video parts, their frames at the size at which they are read.
        video_names: what error messages call the videos; their numbers if empty.
    """

    messages: list[dict[str, Any]]
    images: list[Image.Image]
    source: str
    image_names: tuple[str, ...] = ()
    assistant_tokens: tuple[str, ...] = ()
    videos: list[Clip] = field(default_factory=list)
    video_names: tuple[str, ...] = ()


class ChatDataset(Dataset):
    """The conversations of one JSON-lines file. The whole file and the headers of its images and videos are
    checked on construction; pixels are read on access.

    Args:
        path: the JSON-lines file. Blank lines are skipped.
        image_root: folder that paths of images and videos are relative to; the file's own folder if None.
        allow_outside: whether those paths may lead out of ``image_root``: be absolute, hold '..', or be a link.
        assistant_tokens: special tokens that the assistant's text may contain, such as '<|box_start|>'; never those
            that delimit turns or images.
        orientation: what to do with pictures that EXIF says to turn: 'apply' that, as transformers does where it loads
            images itself, 'ignore' or 'refuse' it (:func:`flmm.images.read_rgb`).
        max_pixels: largest width times height of an image or a frame; more are refused.
        frame_size: the size at which videos are read that do not say otherwise; None is that of qwen-vl-utils, for
            Qwen2-VL and Qwen2.5-VL.
        needs_answer: whether the assistant must have the last word; if not, the user may.

    Raises:
        ValueError: the file holds no conversation, or a line is malformed or names no readable image or video; names
            file, line and key.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        image_root: str | Path | None = None,
        allow_outside: bool = False,
        assistant_tokens: Sequence[str] = (),
        orientation: str = 'apply',
        max_pixels: int = MAX_IMAGE_PIXELS,
        frame_size: FrameSize | None = None,
        needs_answer: bool = True,
    ) -> None:
        self.path = Path(path)
        self.reader = ChatReader(
            image_root=Path(image_root) if image_root is not None else self.path.parent,
            allow_outside=allow_outside,
            assistant_tokens=assistant_tokens,
            orientation=orientation,
            max_pixels=max_pixels,
            frame_size=frame_size or FrameSize(),
            needs_answer=needs_answer,
        )
        if not self.path.exists() or self.path.is_dir():
            raise ValueError(
                f'{str(self.path)!r} is no file, expected one of conversations, a JSON object on each line'
            )
        self._lines: list[tuple[int, list[dict[str, Any]]]] = []
        with self.path.open('rb') as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._lines.append((number, self.reader.read(line, where=f'{self.path}:{number}')))
        if not self._lines:
            raise ValueError(f'{self.path}: the file holds no conversation')

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Conversation:
        """Return conversation ``index`` with its images and videos loaded. A damaged one raises a ValueError that names
        it.
        """
        settings = {'orientation': self.reader.orientation, 'max_pixels': self.reader.max_pixels}
        images = [
            read_rgb(self.reader.image_root / part['image'], name=part['name'], **settings)
            for part in self._parts(index, 'image')
        ]
        videos = [read_clip(part['source'], **part['settings']) for part in self._parts(index, 'video')]
        return replace(self.without_images(index), images=images, videos=videos)

    def without_images(self, index: int) -> Conversation:
        """Return conversation ``index`` as text alone: ``images`` and ``videos`` are empty, their parts stay."""
        number, parsed = self._lines[index]
        return Conversation(
            messages=[
                {
                    'role': message['role'],
                    'content': [
                        part if part['type'] == 'text' else {'type': part['type']} for part in message['content']
                    ],
                }
                for message in parsed
            ],
            images=[],
            source=f'{self.path}:{number}',
            image_names=tuple(part['name'] for part in self._parts(index, 'image')),
            video_names=tuple(part['name'] for part in self._parts(index, 'video')),
            assistant_tokens=self.reader.assistant_tokens,
        )

    def image_sizes(self, index: int) -> list[tuple[int, int]]:
        """(width, height) in px of the images of conversation ``index``."""
        return [part['size'] for part in self._parts(index, 'image')]

    def video_shapes(self, index: int) -> list[tuple[int, ...]]:
        """[T, 3, H, W] of the frames of the videos of conversation ``index``, as they will be read."""
        return [part['shape'] for part in self._parts(index, 'video')]

    def _parts(self, index: int, kind: str) -> list[dict[str, Any]]:
        _, parsed = self._lines[index]
        return [part for message in parsed for part in message['content'] if part['type'] == kind]
