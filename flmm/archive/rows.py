"""A row of an archive: an image and its phrases, whatever the file that it comes from."""

import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmm.files import open_regular, path_inside

MAX_IMAGE_BYTES = 2**28
"""Largest file of an image that is read, in bytes."""


@dataclass(kw_only=True, frozen=True)
class FilePart:
    """Bytes of a larger file, such as a member of a tar.

    Args:
        file: a regular file.
        offset: where they begin.
        size: how many.
    """

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Read them.

        Raises:
            ValueError: the file is shorter, or they are more than :data:`MAX_IMAGE_BYTES`.
        """
        if self.size > MAX_IMAGE_BYTES:
            raise ValueError(f'{self.size} bytes are more than the {MAX_IMAGE_BYTES} that a file of an image may have')
        with open_regular(self.file) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise ValueError(f'{str(self.file)!r} ends in the middle of it; get the file again')
        return content


@dataclass(kw_only=True, frozen=True)
class Row:
    """One image and what to find in it.

    Names of files need be no Unicode text, and parquet holds nothing else: what UTF-8 cannot hold of ``place``,
    ``image_id`` and ``error`` is escaped, a byte 0xe9 of a name as ``\\udce9``. The image is read all the same.

    Args:
        place: where it stands, for messages, such as "row 3 of 'a.jsonl'".
        image_id: what the output calls the image.
        image: path of a file, its bytes, or where these lie. None exactly where there is an ``error``.
        phrases: what to find, as it was written.
        error: why the row cannot be used.
    """

    place: str
    image_id: str
    image: Path | bytes | FilePart | None = None
    phrases: tuple[Any, ...] = ()
    error: str | None = None

    def __post_init__(self) -> None:
        for name in ('place', 'image_id', 'error'):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, text.encode(errors='backslashreplace').decode())


def make_row(
    fields: Any, *, place: str, default_id: str | None, image: Path | bytes | FilePart | None, image_root: Path
) -> Row:
    """Check the fields of a row that others wrote.

    Args:
        fields: an object with ``phrases``, a list; ``id``, a string or integer, where wanted; and ``image``, a path
            below ``image_root``, unless the image is given.
        place: where it stands, for messages.
        default_id: what the image is called where there is no ``id``; None takes its path.
        image: the image, where the file of the archive has it.
        image_root: folder that paths may not leave.

    Returns:
        The row; what is wrong with it is its ``error``.
    """
    image_id = place if default_id is None else default_id
    try:
        if not isinstance(fields, Mapping):
            raise ValueError(f'is {reprlib.repr(fields)}, expected an object with image and phrases')
        if image is None:
            name = fields.get('image')
            path = path_inside(image_root, name)
            image_id, image = (name if default_id is None else default_id), path
        if fields.get('id') is not None:
            given = fields['id']
            if isinstance(given, bool) or not isinstance(given, (str, int)) or given == '':
                raise ValueError(f'has the id {reprlib.repr(given)}, expected a string or an integer')
            image_id = _as_text(str(given))
        phrases = fields.get('phrases')
        if not isinstance(phrases, (list, tuple)) or not phrases:
            raise ValueError(f'has {reprlib.repr(phrases)} for phrases, expected a list of strings')
    except ValueError as error:
        return Row(place=place, image_id=image_id, error=f'{place} {error}')
    return Row(place=place, image_id=image_id, image=image, phrases=tuple(phrases))


def _as_text(text: str) -> str:
    """Return a string if UTF-8 can hold it.

    Raises:
        ValueError: it has a lone surrogate.
    """
    try:
        os.fspath(text).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f'has the id {text!r}, which is no Unicode text; write another') from error
    return text
