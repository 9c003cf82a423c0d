"""The kinds of video files that are opened, and whether a file is all there.

FFmpeg reads hundreds of kinds, some of which are lists of other files and addresses. A file that begins as the ones
here do is none of those to it. What is cut off may be a shorter video to it, so sizes in the file are compared with the
file's own.
"""

import os
from typing import BinaryIO

CONTAINERS = {'mov': 'MP4 or MOV', 'matroska': 'Matroska or WebM', 'avi': 'AVI'}
"""FFmpeg's names of what is read."""

MAX_PARTS = 100_000
"""How many parts of a file are looked at; one made of parts without content has no end otherwise."""

_MOV_ATOMS = (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip', b'pnot')
_XML_MAY_BEGIN = b'\xef\xbb\xbf \t\r\n'
_EBML_HEADER, _MATROSKA_SEGMENT = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67'
_LONGEST_HEADER = 1024
"""Of Matroska, in bytes; FFmpeg looks at 2,048 before it decides what a file is."""


def container_of(file: BinaryIO, *, name: str) -> str:
    """Return FFmpeg's name of the container of an open file, which is left at its start.

    Raises:
        ValueError: it is none of :data:`CONTAINERS`, or is cut off.
    """
    start = file.read(12)
    is_xml = start.lstrip(_XML_MAY_BEGIN).startswith(
        b'<'
    )  # of which FFmpeg reads lists; the size of an atom may be text
    container, length = '', None
    if start[4:8] in _MOV_ATOMS and not is_xml:
        container, length = 'mov', _length_of_mov(file)
    elif start[:4] == _EBML_HEADER:
        container, length = 'matroska', _length_of_matroska(file)
    elif start[:4] == b'RIFF' and start[8:] == b'AVI ':
        container, length = 'avi', _length_of_avi(file)
    if length is None:
        raise ValueError(
            f'video {name!r} is no file of {", ".join(CONTAINERS.values())}; convert it, such as by '
            'ffmpeg -i INPUT -c copy OUTPUT.mp4'
        )
    size = file.seek(0, os.SEEK_END)
    if size < length:
        raise ValueError(
            f'video {name!r} is cut off: {size:,} bytes are there of the {length:,} that its headers add up to; '
            'download it again'
        )
    file.seek(0)
    return container


def mov_atom_at(file: BinaryIO, place: int) -> tuple[bytes, int, int]:
    """Read the head of an atom of an MP4 or MOV file: a size (4 bytes, or 8 behind the type) and a type.

    Returns:
        Its type, the place where its content begins, and its size with the head, which may lie. 0: it is the last.
    """
    head = bytes_at(file, place, 16)
    size = int.from_bytes(head[:4], 'big')
    if size == 1:
        return head[4:8], place + 16, int.from_bytes(head[8:], 'big')
    return head[4:8], place + 8, size


def _length_of_mov(file: BinaryIO) -> int:
    """The end of the last of its atoms."""
    end = 0
    for _ in range(MAX_PARTS):
        _, _, size = mov_atom_at(file, end)
        if size < 8:  # the end of the file; 0: an atom up to there; others are none
            break
        end += size
    return end


def _length_of_matroska(file: BinaryIO) -> int | None:
    """The end of its segment, which follows the header; 0 if that is unknown, as in live recordings. None: it has no
    segment, or its header does not say that it is Matroska or WebM, so that FFmpeg may take it for something else.
    """
    place = 4 + sum(_variable_size(file, 4))
    header = bytes_at(file, 0, min(place, _LONGEST_HEADER))
    if len(header) < place or not (b'matroska' in header or b'webm' in header):
        return None
    if bytes_at(file, place, 4) != _MATROSKA_SEGMENT:
        return None
    width, size = _variable_size(file, place + 4)
    is_unknown = size == 2 ** (7 * width) - 1
    return 0 if is_unknown else place + 4 + width + size


def _variable_size(file: BinaryIO, place: int) -> tuple[int, int]:
    """How many bytes a size of Matroska takes, by its leading zero bits, and what it says."""
    head = bytes_at(file, place, 8)
    width = 9 - head[0].bit_length() if head else 0
    return width, int.from_bytes(head[:width], 'big') & (2 ** (7 * width) - 1)


def _length_of_avi(file: BinaryIO) -> int:
    """The end of the last of its RIFF lists, of which those over a gigabyte have several."""
    end = 0
    for _ in range(MAX_PARTS):
        head = bytes_at(file, end, 8)
        if head[:4] != b'RIFF':
            break
        end += 8 + int.from_bytes(head[4:8], 'little')
    return end


def bytes_at(file: BinaryIO, place: int, count: int) -> bytes:
    """Read up to ``count`` bytes of a file from a place on; none behind its end."""
    if place >= file.seek(0, os.SEEK_END):  # a file may name places at which no system can look
        return b''
    file.seek(place)
    return file.read(count)
