"""Which kinds of video files are opened: FFmpeg reads hundreds, some of which are lists of other files and addresses."""

from typing import BinaryIO

CONTAINERS = {'mov': 'MP4 or MOV', 'matroska': 'Matroska or WebM', 'avi': 'AVI'}
"""FFmpeg's names of what is read."""

SUFFIXES = ('.3gp', '.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
"""Of the files in a folder that are taken for videos, in small letters or capitals."""

_MOV_ATOMS = (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip', b'pnot')


def container_of(file: BinaryIO, *, name: str) -> str:
    """Return FFmpeg's name of the container of an open file, by its first bytes; the file is at its start again.

    A file that begins so is no playlist and no other list of files to FFmpeg.

    Raises:
        ValueError: it is none of :data:`CONTAINERS`.
    """
    start = file.read(12)
    file.seek(0)
    if start[4:8] in _MOV_ATOMS:
        return 'mov'
    if start[:4] == b'\x1a\x45\xdf\xa3':
        return 'matroska'
    if start[:4] == b'RIFF' and start[8:] == b'AVI ':
        return 'avi'
    raise ValueError(
        f'video {name!r} is no file of {", ".join(CONTAINERS.values())}; convert it, such as by ffmpeg -i INPUT -c copy '
        'OUTPUT.mp4'
    )
