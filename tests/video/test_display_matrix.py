"""Atoms of MP4 files by hand, next to files that FFmpeg has written."""

import io
import struct
import zlib

import pytest
from tiny_videos import write_video

from flmm.video.containers import MAX_PARTS
from flmm.video.display_matrix import only_quarter_turns

ONE = 1 << 16
TURNS = [(ONE, 0, 0, ONE), (0, ONE, -ONE, 0), (-ONE, 0, 0, -ONE), (0, -ONE, ONE, 0)]
MIRRORED = [(-ONE, 0, 0, ONE), (0, ONE, ONE, 0), (ONE, 0, 0, -ONE), (0, -ONE, -ONE, 0)]
TURN, MIRROR = TURNS[1], MIRRORED[1]


def atom(kind, *contents, long=False):
    content = b''.join(contents)
    if long:
        return b'\0\0\0\1' + kind + (16 + len(content)).to_bytes(8, 'big') + content
    return (8 + len(content)).to_bytes(4, 'big') + kind + content


def header(kind, matrix, *, version=0):
    """Of a movie (mvhd) or a track (tkhd): times and numbers, nine numbers of the matrix, two behind it."""
    before = {b'mvhd': (32, 44), b'tkhd': (36, 48)}[kind][version]
    x_to_x, x_to_y, y_to_x, y_to_y = matrix
    numbers = struct.pack('>9i', x_to_x, x_to_y, 0, y_to_x, y_to_y, 0, 0, 0, 1 << 30)
    return bytes([version, 0, 0, 7]) + b'\xee' * before + numbers + b'\xee' * 8


def movie(*tracks, movie_matrix=TURNS[0], version=0, long=False):
    head = atom(b'mvhd', header(b'mvhd', movie_matrix, version=version), long=long)
    traks = [
        atom(b'trak', atom(b'tkhd', header(b'tkhd', matrix, version=version), long=long), atom(b'mdia', b'\xee' * 9))
        for matrix in tracks
    ]
    return atom(b'ftyp', b'isom') + atom(b'mdat', b'\xee' * 40) + atom(b'moov', head, *traks, long=long)


def turns(content):
    file = io.BytesIO(content)
    file.seek(5)
    found = only_quarter_turns(file)
    assert file.tell() == 5  # another reader has it, too
    return found


@pytest.mark.parametrize('suffix', ['mp4', 'mov'])
@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('rotation', [0, 90, 180, -90])
def test_files_of_ffmpeg(tmp_path, suffix, rotation, mirrored):
    path = write_video(tmp_path / f'clip.{suffix}', num_frames=2, rotation=rotation, mirrored=mirrored)
    assert turns(path.read_bytes()) is not mirrored


@pytest.mark.parametrize('long', [False, True])
@pytest.mark.parametrize('version', [0, 1])
def test_versions_of_headers_and_sizes(version, long):
    for matrix in TURNS:
        assert turns(movie(matrix, version=version, long=long))
        assert turns(movie(TURN, movie_matrix=matrix, version=version, long=long))
    for matrix in MIRRORED:
        assert not turns(movie(matrix, version=version, long=long))
        assert not turns(movie(TURN, movie_matrix=matrix, version=version, long=long))


def test_scales_and_other_angles():
    for scale in (1, ONE // 3, 3 * ONE):
        assert turns(movie((scale, 0, 0, ONE)))
        assert turns(movie((0, -scale, ONE, 0)))
        assert not turns(movie((-scale, 0, 0, ONE)))
    for matrix in ((ONE, ONE, -ONE, ONE), (ONE, 1, 0, ONE), (1, -ONE, ONE, 0), (ONE, ONE, ONE, ONE)):
        assert not turns(movie(matrix))


def test_any_track_counts():
    silent = (0, 0, 0, 0)  # of sound, some writers leave the matrix out
    assert turns(movie(silent, TURN, TURNS[2]))
    assert not turns(movie(silent, TURN, MIRROR))
    assert not turns(movie(MIRROR, TURN))


def test_what_is_behind_the_last_atom():
    content = movie(TURN)
    for rest in (b'\0' * 3, b'\xee' * 7, b'\0' * 40, b'\0\0\0\0mdat' + b'\xee' * 40, atom(b'free')):
        assert turns(content + rest)
    place = content.index(b'moov') - 4
    assert turns(content[:place] + b'\0\0\0\0' + content[place + 4 :])  # it goes on to the end
    assert not turns(content + movie(MIRROR))


@pytest.mark.parametrize('size', [2, 7, 9, 19, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize('kind', [b'moov', b'mvhd', b'trak', b'tkhd', b'mdia'])
def test_sizes_that_lie(kind, size):
    content = movie(TURN)
    place = content.index(kind) - 4
    assert not turns(content[:place] + size.to_bytes(4, 'big') + content[place + 4 :])


@pytest.mark.parametrize('size', [8, 15, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
def test_long_sizes_that_lie(size):
    assert not turns(atom(b'ftyp', b'isom') + b'\0\0\0\1moov' + size.to_bytes(8, 'big') + movie(TURN))


def test_headers_that_end_too_soon():
    whole = header(b'tkhd', TURN)
    for length in (0, 1, 4, 40, 59):
        assert not turns(atom(b'moov', atom(b'trak', atom(b'tkhd', whole[:length]))))
    assert turns(atom(b'moov', atom(b'trak', atom(b'tkhd', whole[:60]))))


def test_no_track_that_can_be_read():
    headers = movie(TURN)[movie(TURN).index(b'moov') - 4 :]
    compressed = atom(b'cmov', atom(b'dcom', b'zlib'), atom(b'cmvd', zlib.compress(headers)))
    for content in (b'', b'\xee' * 6, atom(b'ftyp', b'isom'), movie(), atom(b'moov', compressed)):
        assert not turns(content)


def test_the_search_has_an_end():
    assert not turns(movie(TURN) + atom(b'free') * MAX_PARTS)
    assert not turns(atom(b'moov', atom(b'trak') * MAX_PARTS))
    deep = b''
    for _ in range(500):
        deep = atom(b'trak', deep)
    assert not turns(deep)
