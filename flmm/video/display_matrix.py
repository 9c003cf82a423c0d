"""Whether an MP4 or MOV file has its pictures shown in a way that torchcodec knows: turned by quarters, not mirrored.

A file may say by a matrix that players turn, mirror or shear its pictures. Torchcodec goes by FFmpeg's angle of that
matrix alone, which is the same whether a picture is mirrored or not.
"""

import os
import struct
from typing import BinaryIO

from flmm.video.containers import MAX_PARTS, bytes_at, mov_atom_at

_MATRIX_AT = {b'mvhd': (36, 48), b'tkhd': (40, 52)}
"""Where the matrix is in the headers of a movie and of a track, in bytes; with times of 32 and of 64 bits."""


def only_quarter_turns(file: BinaryIO) -> bool:
    """Whether every matrix of an MP4 or MOV file is a turn by 0, 90, 180 or 270 degrees, at any scale.

    The movie has a matrix, each of its tracks has another, and both are applied (ISO/IEC 14496-12, 8.2.2 and 8.3.2).
    Every track counts, as the decoder chooses which is read. Sound may have zeros. The file is left where it was.

    Returns:
        False also where that is not sure: no track is found, a size in the file lies, or it has over
        :data:`~flmm.video.containers.MAX_PARTS` atoms.
    """
    was_at = file.tell()
    try:
        return _only_quarter_turns(file)
    finally:
        file.seek(was_at)


def _only_quarter_turns(file: BinaryIO) -> bool:
    found_track = False
    unseen = [(0, file.seek(0, os.SEEK_END))]  # from where to where
    for _ in range(MAX_PARTS):
        if not unseen:
            return found_track
        place, end = unseen.pop()
        if end - place < 8:  # too little for an atom: the end, or padding
            continue
        kind, content, size = mov_atom_at(file, place)
        next_place = place + size if size else end  # 0: it is the last
        if not content <= next_place <= end:
            return False
        unseen.append((next_place, end))
        if kind in (b'moov', b'trak'):
            unseen.append((content, next_place))
        elif kind in _MATRIX_AT:
            if not _header_turns(bytes_at(file, content, min(next_place - content, 128)), kind):
                return False
            found_track = found_track or kind == b'tkhd'
    return False


def _header_turns(header: bytes, kind: bytes) -> bool:
    has_long_times = header[:1] == b'\x01'
    matrix = header[_MATRIX_AT[kind][has_long_times] :][:20]
    if len(matrix) < 20:
        return False
    x_to_x, x_to_y, _, y_to_x, y_to_y = struct.unpack('>5i', matrix)
    keeps_axes = x_to_y == y_to_x == 0 and x_to_x * y_to_y >= 0
    swaps_axes = x_to_x == y_to_y == 0 and x_to_y * y_to_x <= 0
    return keeps_axes or swaps_axes
