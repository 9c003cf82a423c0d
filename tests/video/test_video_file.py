"""Both decoders: each test runs with the ones that can be loaded here."""

import logging
import os
import re
import struct
import sys
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
import torch
from qwen_vl_utils import vision_process as reference
from tiny_videos import grey_of, write_video

from flmm.video import FrameSampling, FrameSize, read_clip, video_file
from flmm.video.pyav_file import PyAVFile
from flmm.video.video_file import open_video_file

NO_TORCHCODEC = 'torchcodec, or the FFmpeg libraries that it needs, cannot be loaded here'
DECODERS = [
    'pyav',
    pytest.param('torchcodec', marks=pytest.mark.skipif(not video_file._torchcodec_loads(), reason=NO_TORCHCODEC)),
]
UNEVEN = [0, 0.1, 0.2, 0.7, 0.75, 1.5, 2.0, 2.1, 4, 5]
KINDS = {
    'h264.mp4': {},
    'h264.mkv': {},
    'short_groups.mp4': {'key_every': 3},
    'vp9.webm': {'codec': 'libvpx-vp9'},
    'mpeg4.avi': {'codec': 'mpeg4'},
    'mjpeg.avi': {'codec': 'mjpeg'},
    'uneven.mkv': {'times': UNEVEN, 'num_frames': len(UNEVEN)},
    'uneven.mp4': {'times': UNEVEN, 'num_frames': len(UNEVEN), 'codec': 'mpeg4'},
    'turned.mp4': {'rotation': 90},
    'upside_down.mp4': {'rotation': 180},
    'mirrored_size.mp4': {'rotation': -90},
    'turned.mkv': {'rotation': 90},
    'mirrored.mp4': {'mirrored': True},
    'upside_down_mirrored.mov': {'rotation': 180, 'mirrored': True},
    'turned_mirrored.mp4': {'rotation': 90, 'mirrored': True},
    'turned_mirrored.mkv': {'rotation': -90, 'mirrored': True},
    'one.mp4': {'num_frames': 1},
    'odd.mp4': {'num_frames': 7, 'size': (98, 62)},
}
SOUGHT_AS_WELL = ['h264.mkv', 'short_groups.mp4', 'vp9.webm', 'mpeg4.avi']


@pytest.fixture
def decoder(request, monkeypatch):
    monkeypatch.setattr(video_file, '_torchcodec_loads', lambda: request.param == 'torchcodec')
    return request.param


def every_frame(path):
    with open_video_file(path, name='clip', max_pixels=10**6) as video:
        return torch.stack(list(video.frames(range(video.num_frames)))), video.fps, video.size


def greys(frames):
    """Of the middle of each frame, behind the quarter that marks its upper left; [T, 3, H, W] -> T numbers."""
    return frames[:, :, 40:, 40:].float().mean((1, 2, 3)).tolist()


@pytest.mark.parametrize('decoder', DECODERS, indirect=True)
@pytest.mark.parametrize('kind', KINDS)
def test_frames_in_order_of_time(tmp_path, decoder, kind):
    settings = {'num_frames': 20, **KINDS[kind]}
    path = write_video(tmp_path / kind, **settings)
    frames, fps, size = every_frame(path)
    assert len(frames) == settings['num_frames']
    assert size == (frames.shape[3], frames.shape[2])
    assert fps == pytest.approx(len(UNEVEN) / 5.1 if 'times' in settings else 10, rel=0.03)
    if not {'rotation', 'mirrored'} & set(settings):
        assert greys(frames) == pytest.approx([grey_of(number) for number in range(len(frames))], abs=4)


@pytest.mark.parametrize('decoder', DECODERS, indirect=True)
@pytest.mark.parametrize(
    'kind',
    [
        'h264.mp4',
        'uneven.mkv',
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in SOUGHT_AS_WELL),
    ],
)
def test_chosen_frames_are_those_of_the_whole(tmp_path, decoder, kind):
    path = write_video(tmp_path / kind, **{'num_frames': 30, **KINDS[kind]})
    whole, _, _ = every_frame(path)
    last = len(whole) - 1
    for numbers in ([0], [last], [last, last], [0, last], [1, 2, last - 1], [3, 3, 4, 9], list(range(2, last, 3))):
        with open_video_file(path, name='clip', max_pixels=10**6) as video:
            chosen = torch.stack(list(video.frames(numbers)))
            again = torch.stack(list(video.frames(numbers)))
        assert torch.equal(chosen, whole[numbers])
        assert torch.equal(again, chosen)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize('decoder', DECODERS, indirect=True)
@pytest.mark.parametrize(
    ('rotation', 'mirrored', 'corner'),
    [
        (0, False, (0, 0)), (90, False, (-1, 0)), (180, False, (-1, -1)), (-90, False, (0, -1)),
        (0, True, (0, -1)), (90, True, (-1, -1)), (180, True, (-1, 0)), (-90, True, (0, 0)),
    ],
)  # fmt: skip
def test_videos_are_read_as_players_show_them(tmp_path, decoder, rotation, mirrored, corner, suffix):
    """A counter-clockwise turn of 90 degrees brings the upper left corner to the lower left, mirrored to the right."""
    path = write_video(tmp_path / f'clip.{suffix}', num_frames=3, rotation=rotation, mirrored=mirrored)
    frames, _, size = every_frame(path)
    assert size == ((64, 96) if rotation % 180 else (96, 64))
    red = (frames[0, 0].int() - frames[0, 1].int()) > 80
    row, column = corner
    assert red[row, column]
    assert red.float().mean() == pytest.approx(0.25, abs=0.05)


class AsTorchCodec:
    """Says of a matrix what torchcodec does, wherever that cannot be loaded."""

    def __init__(self, file, *, name, max_pixels):
        file.seek(7)  # it reads on from where it was
        self.has_matrix = name != 'plain'


@pytest.fixture
def with_torchcodec(monkeypatch):
    monkeypatch.setattr(video_file, '_torchcodec_loads', lambda: True)
    monkeypatch.setitem(sys.modules, 'flmm.video.torchcodec_file', SimpleNamespace(TorchCodecFile=AsTorchCodec))


@pytest.mark.parametrize(
    ('name', 'suffix', 'mirrored', 'expected'),
    [
        ('turned', 'mp4', False, AsTorchCodec),
        ('turned', 'mp4', True, PyAVFile),
        ('turned', 'mkv', False, PyAVFile),
        ('plain', 'mkv', False, AsTorchCodec),
        ('plain', 'avi', False, AsTorchCodec),
    ],
)
def test_torchcodec_gets_what_is_surely_not_mirrored(tmp_path, with_torchcodec, name, suffix, mirrored, expected):
    rotation = 0 if name == 'plain' else 90
    path = write_video(tmp_path / f'clip.{suffix}', num_frames=2, rotation=rotation, mirrored=mirrored)
    with open_video_file(path, name=name, max_pixels=10**6) as video:
        assert type(video) is expected


@pytest.mark.parametrize(('suffix', 'mirrored'), [('mp4', True), ('mkv', False)])
def test_what_may_be_mirrored_without_pyav(tmp_path, monkeypatch, with_torchcodec, suffix, mirrored):
    path = write_video(tmp_path / f'clip.{suffix}', num_frames=2, rotation=90, mirrored=mirrored)
    monkeypatch.delitem(sys.modules, 'flmm.video.pyav_file')
    monkeypatch.setitem(sys.modules, 'av', None)
    message = (
        rf"video '.*clip\.{suffix}' may be mirrored for players, which torchcodec takes for turned; install PyAV to "
        r'decode it, such as by pip install "flmm\[video\]", or give its frames as a list'
    )
    with pytest.raises(ValueError, match=message):
        read_clip(path)


ODD_MATRICES = [(2, 2, -2, 2), (2, 1, 0, 2), (2, 6, 1, 12), (-2, 0, 0, 0), (0, 2, 0, 0), (2, 2, 2, 2), (0, 0, 0, 0)]


def with_matrix(path, matrix):
    """Put another matrix into the header of the only track of an MP4 file that is turned by 90 degrees."""
    content = write_video(path, num_frames=2, rotation=90).read_bytes()
    place = content.index(b'tkhd') + 44
    assert struct.unpack_from('>5i', content, place) == (0, -(2**16), 0, 2**16, 0)
    x_to_x, x_to_y, y_to_x, y_to_y = (value * 2**16 for value in matrix)
    path.write_bytes(content[:place] + struct.pack('>5i', x_to_x, x_to_y, 0, y_to_x, y_to_y) + content[place + 20 :])
    return path


@pytest.mark.parametrize('decoder', DECODERS, indirect=True)
@pytest.mark.parametrize('matrix', [(-2, 0, 0, 0), (0, 2, 0, 0), (-2, -2, -2, -2)])
def test_a_matrix_that_leaves_no_picture_has_no_effect(tmp_path, decoder, matrix):
    frames, _, size = every_frame(with_matrix(tmp_path / 'clip.mp4', matrix))
    assert size == (96, 64)
    assert frames[0, 0, 0, 0] - frames[0, 1, 0, 0] > 80


@pytest.mark.skipif(not video_file._torchcodec_loads(), reason=NO_TORCHCODEC)
@pytest.mark.parametrize('matrix', ODD_MATRICES)
def test_both_decoders_show_odd_matrices_alike(tmp_path, monkeypatch, matrix):
    path = with_matrix(tmp_path / 'clip.mp4', matrix)
    shown = []
    for loads in (True, False):
        monkeypatch.setattr(video_file, '_torchcodec_loads', lambda loads=loads: loads)
        shown.append(every_frame(path)[0])
    assert torch.equal(*shown)


@pytest.mark.skipif(not video_file._torchcodec_loads(), reason=NO_TORCHCODEC)
@pytest.mark.parametrize('kind', KINDS)
def test_both_decoders_give_the_same_bytes(tmp_path, monkeypatch, kind):
    path = write_video(tmp_path / kind, **{'num_frames': 20, **KINDS[kind]})
    clips = []
    for loads in (True, False):
        monkeypatch.setattr(video_file, '_torchcodec_loads', lambda loads=loads: loads)
        clips.append(read_clip(path, sampling=FrameSampling(fps=5)))
    one, other = clips
    assert torch.equal(one.frames, other.frames)
    assert (one.indices, one.num_source_frames) == (other.indices, other.num_source_frames)
    assert one.source_fps == pytest.approx(other.source_fps, rel=1e-9)


@pytest.mark.skipif(not video_file._torchcodec_loads(), reason=NO_TORCHCODEC)
@pytest.mark.parametrize(
    'settings',
    [{}, {'fps': 5, 'video_start': 0.45, 'video_end': 2.2}, {'nframes': 6, 'max_pixels': 150_000}, {'max_frames': 3}],
)
def test_a_file_is_read_as_by_qwen_vl_utils(tmp_path, settings):
    path = write_video(tmp_path / 'clip.mp4', num_frames=30)
    expected, metadata = reference.fetch_video({'video': str(path), **settings}, return_video_metadata=True)
    sampling = {key: value for key, value in settings.items() if key != 'max_pixels'}
    size = FrameSize(max_pixels=settings.get('max_pixels'))
    clip = read_clip(path, sampling=FrameSampling(**sampling), frame_size=size)
    found = {'frames_indices': list(clip.indices), 'fps': clip.source_fps, 'total_num_frames': clip.range_frames}
    assert found == {key: metadata[key] for key in found}
    assert (clip.frames.float() - expected).abs().max() <= 1  # another resize of torchvision's, which rounds last


def test_pictures_that_are_renewed_part_by_part(tmp_path, monkeypatch):
    """A key frame of such a file is whole a second later alone; at the end of the file FFmpeg gives what it has."""
    monkeypatch.setattr(video_file, '_torchcodec_loads', lambda: False)
    path = write_video(tmp_path / 'clip.mp4', num_frames=36, options={'intra-refresh': '1', 'bf': '0'})
    whole, _, _ = every_frame(path)
    assert greys(whole) == pytest.approx([grey_of(number) for number in range(36)], abs=4)
    for number in range(0, 36, 5):
        with open_video_file(path, name='clip', max_pixels=10**6) as video:
            assert torch.equal(next(iter(video.frames([number]))), whole[number])


def test_only_what_is_needed_is_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'clip.mp4', num_frames=40, key_every=10)
    decoded = []
    with path.open('rb') as file:
        video = PyAVFile(file, container='mov', name='clip', max_pixels=10**6)
        whole = video._decoded_from
        monkeypatch.setattr(
            video, '_decoded_from', lambda key: (decoded.append(frame.pts) or frame for frame in whole(key))
        )
        list(video.frames([0, 31]))
    assert len(decoded) < 12  # not the 30 frames between


def packets_of(size, *, first, count):
    """Frames of MPEG-4, each of which has its size in its own header."""
    encoder = av.CodecContext.create('mpeg4', 'w')
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.gop_size, encoder.time_base, encoder.framerate = 'yuv420p', 1, Fraction(1, 10), 10
    packets = []
    for number in range(first, first + count):
        frame = av.VideoFrame(*size, 'yuv420p')
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    return [*packets, *encoder.encode()]


def test_a_frame_that_is_larger_than_the_header_says_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(video_file, '_torchcodec_loads', lambda: False)
    path = tmp_path / 'grows.avi'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        for packet in [*packets_of((96, 64), first=0, count=2), *packets_of((2400, 2400), first=2, count=2)]:
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            container.mux(packet)
    sampling = FrameSampling(fps=10)
    with pytest.raises(ValueError, match=r'frame 2 has 2400 x 2400 px \(width x height\), the first 96 x 64'):
        read_clip(path, sampling=sampling)
    with pytest.raises(ValueError, match=r"video '.*grows\.avi': frame 2 cannot be decoded"):
        read_clip(path, sampling=sampling, max_pixels=10**6)
    assert len(read_clip(path, sampling=FrameSampling(nframes=2, video_end=0.15), max_pixels=96 * 64).frames) == 2


@pytest.mark.parametrize('decoder', DECODERS, indirect=True)
def test_files_that_are_no_video(tmp_path, decoder):
    clip = write_video(tmp_path / 'clip.mp4', num_frames=30)
    content = clip.read_bytes()
    (tmp_path / 'title.mp4').write_bytes(content.replace(b'VideoHandler', b'\xff\xfe' * 6))
    read_clip(tmp_path / 'title.mp4')  # what is no text is no harm
    middle = content.index(b'mdat') + 1000
    (tmp_path / 'noise.mp4').write_bytes(content[:middle] + b'\x7f' * 600 + content[middle + 600 :])
    (tmp_path / 'cut.mp4').write_bytes(content[: len(content) // 2])
    (tmp_path / 'zeros.mp4').write_bytes(b'\0\0\0\x08ftyp' + b'\0' * 500)
    with av.open(str(tmp_path / 'sound.mov'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        sound = av.AudioFrame(format='s16', layout='mono', samples=1024)
        sound.sample_rate, sound.pts = 8000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    os.mkfifo(tmp_path / 'fifo.mp4')
    expected = {
        'absent.mp4': r'cannot be opened \(.*No such file.*\); expected the path of a file on this machine',
        'fifo.mp4': r'cannot be opened \(.*no regular file: a FIFO\)',
        '.': r'cannot be opened \(.*no regular file: Is a directory\); expected a list of the frames in it',
        'cut.mp4': 'is cut off',
        'zeros.mp4': r'cannot be read \(.+\); download it again or convert it',
        'sound.mov': 'has no video stream that can be decoded|cannot be read .*best video stream is unknown',
        'noise.mp4': r'frame \d+ cannot be decoded|is damaged',
    }
    for name, message in expected.items():
        path = tmp_path / name
        with pytest.raises(ValueError, match=re.escape(f'video {str(path)!r}') + f'.*({message})'):
            read_clip(path, sampling=FrameSampling(fps=10))
    with pytest.raises(ValueError, match=r"video '.*clip\.mp4' has frames of 96 x 64 px, more than max_pixels=6,143"):
        read_clip(clip, max_pixels=96 * 64 - 1)


def test_addresses_are_no_files():
    for address in ('http://127.0.0.1:9/clip.mp4', 'concat:a.mp4|b.mp4', 'file:/etc/hostname'):
        with pytest.raises(ValueError, match=r'cannot be opened \(.*No such file'):
            read_clip(address)


def test_without_a_decoder(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'clip.mp4', num_frames=2)
    monkeypatch.setattr(video_file, '_torchcodec_loads', lambda: False)
    monkeypatch.delitem(sys.modules, 'flmm.video.pyav_file')
    monkeypatch.setitem(sys.modules, 'av', None)
    message = (
        r'neither torchcodec nor PyAV can be imported to decode it; install one, such as by pip install "flmm\[video\]"'
    )
    with pytest.raises(ValueError, match=message):
        read_clip(path)


def test_a_torchcodec_that_cannot_be_loaded(monkeypatch, caplog):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == 'torchcodec':
                raise RuntimeError('Could not load libtorchcodec')

    for name in [name for name in sys.modules if name.partition('.')[0] == 'torchcodec']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'meta_path', [Broken(), *sys.meta_path])
    caplog.set_level(logging.INFO, logger='flmm')
    assert video_file._torchcodec_loads.__wrapped__() is False
    assert 'torchcodec cannot be loaded, PyAV decodes videos (Could not load libtorchcodec)' in caplog.text
