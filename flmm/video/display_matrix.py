"""Whether the matrices that an MP4 or MOV file has for players turn its pictures without mirroring them.

A file may say at which angle players show its pictures, and whether they mirror them, by a matrix. FFmpeg's angle of a
matrix, which torchcodec goes by, is the same for both.
"""

import os
import struct
from typing import BinaryIO

from flmm.video.containers import MAX_PARTS, bytes_at, mov_atom_at

_MATRIX_AT = {b'mvhd': (36, 48), b'tkhd': (40, 52)}
"""Where the matrix is in the headers of a movie and of a track, in bytes; with times of 32 and of 64 bits."""


def only_turns(file: BinaryIO) -> bool:
    """Whether every matrix of an MP4 or MOV file turns, so that none mirrors; the file is left where it was.

    The movie has one, each of its tracks has another, and both hold (ISO/IEC 14496-12, 8.2.2 and 8.3.2). One mirrors
    if its determinant is negative. Any track counts, as which one is read is the decoder's choice.

    Returns:
        False also where that is not sure: no track is found, a size in the file lies, or it has over
        :data:`~flmm.video.containers.MAX_PARTS` atoms.
    """
    was_at = file.tell()
    try:
        return _only_turns(file)
    finally:
        file.seek(was_at)


def _only_turns(file: BinaryIO) -> bool:
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
    return x_to_x * y_to_y - x_to_y * y_to_x >= 0  # 0: tracks without pictures may have zeros
