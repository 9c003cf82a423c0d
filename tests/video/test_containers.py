import io

import pytest
from tiny_videos import write_video

from flmm.video.containers import container_of

EBML, SEGMENT = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67'
WEBM_HEADER = EBML + b'\x87\x42\x82\x84webm'
SDP = b'\nv=0\nc=IN IP4 127.0.0.1\nm=video 50040 RTP/AVP 96\n'


@pytest.mark.parametrize(
    ('suffix', 'codec', 'container'),
    [
        ('mp4', 'libx264', 'mov'),
        ('mov', 'libx264', 'mov'),
        ('mkv', 'libx264', 'matroska'),
        ('webm', 'libvpx-vp9', 'matroska'),
        ('avi', 'mjpeg', 'avi'),
    ],
)
def test_a_whole_file_and_every_shorter_one(tmp_path, suffix, codec, container):
    content = write_video(tmp_path / f'clip.{suffix}', num_frames=4, codec=codec).read_bytes()
    whole = io.BytesIO(content)
    assert container_of(whole, name='clip') == container
    assert whole.tell() == 0
    assert container_of(io.BytesIO(content + b'\0' * 20), name='clip') == container  # what follows is not the video's
    # Above the headers, that is: a file of those alone says nothing of the rest.
    for length in {len(content) - 1, len(content) // 2}:
        with pytest.raises(
            ValueError, match=rf"video 'clip' is cut off: {length:,} bytes are there of the [\d,]+ that"
        ):
            container_of(io.BytesIO(content[:length]), name='clip')


def test_sizes_of_64_bits_and_unknown_ones():
    head = b'\0\0\0\x08ftyp' + b'\0\0\0\x01mdat' + (1 << 33).to_bytes(8, 'big')
    with pytest.raises(ValueError, match=r'32 bytes are there of the 8,589,934,600 that'):
        container_of(io.BytesIO(head + b'\0' * 8), name='clip')
    assert container_of(io.BytesIO(b'\0\0\0\x08ftyp' + b'\0\0\0\0mdat'), name='clip') == 'mov'
    ebml = WEBM_HEADER + SEGMENT
    assert container_of(io.BytesIO(ebml + b'\x01' + b'\xff' * 7), name='clip') == 'matroska'  # a live recording
    with pytest.raises(ValueError, match=r'17 bytes are there of the 22 that'):
        container_of(io.BytesIO(ebml + b'\x85'), name='clip')


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/clip.ts\n',
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b'<?xml version="1.0"?><MPD></MPD>',
        b'v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 0 RTP/AVP 96\n',
        b'RIFF\0\0\0\0WAVE',
        b'\x47' * 400,
        EBML + b'\x10AAA' + SDP,  # a header that ends behind the file: FFmpeg takes it for SDP
        EBML + b'\x01AAAAAAA' + SDP,  # behind the largest file
        EBML + b'\x81\0' + SEGMENT + b'\x80' + SDP,  # of no kind
        EBML + b'\x50\0webm' + b' ' * 4096 + SEGMENT,  # longer than what FFmpeg looks at first
        b'<!--free --><MPD profiles="urn:mpeg:dash:profile:isoff-live:2011"></MPD>',
        b'\t<?afree ?><MPD profiles="urn:mpeg:dash:profile:isoff-live:2011"></MPD>',
        b'\xef\xbb\xbf<free/>',
    ],
)
def test_other_kinds_stay_shut(content):
    with pytest.raises(ValueError, match=r"video 'clip' is no file of MP4 or MOV, Matroska or WebM, AVI; convert it"):
        container_of(io.BytesIO(content), name='clip')


@pytest.mark.parametrize('size', [1 << 62, (1 << 64) - 1])
def test_places_behind_the_largest_file(tmp_path, size):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(b'\0\0\0\x08ftyp' + b'\0\0\0\x01mdat' + size.to_bytes(8, 'big'))
    with path.open('rb') as file, pytest.raises(ValueError, match=rf'24 bytes are there of the {size + 8:,} that'):
        container_of(file, name='clip')


def test_a_file_of_parts_without_content_has_an_end():
    assert container_of(io.BytesIO(b'\0\0\0\x08free' * 200_000), name='clip') == 'mov'
    assert container_of(io.BytesIO(b'RIFF\0\0\0\0' + b'AVI ' + b'RIFF\0\0\0\0' * 9), name='clip') == 'avi'
