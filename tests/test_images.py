"""Image files of others: formats, size, orientation, frames; each against pixels made here."""

import io
import logging
import os
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps

from flmm import images
from flmm.images import MAX_IMAGE_PIXELS, images_in, read_image_size, read_rgb, to_rgb

LOSSLESS = {'PNG': {}, 'WEBP': {'lossless': True}, 'BMP': {}, 'TIFF': {}, 'GIF': {}}
NUMBERS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encode(image, kind, **kwargs):
    buffer = io.BytesIO()
    image.save(buffer, kind, **kwargs)
    return buffer.getvalue()


def read(content, **kwargs):
    return np.asarray(read_rgb(io.BytesIO(content), name='photo.jpg', **{'orientation': 'refuse', **kwargs}))


# --- formats


@pytest.mark.parametrize('kind', LOSSLESS)
def test_formats_that_are_read(kind):
    grey = np.repeat(NUMBERS[..., :1], 3, axis=2)  # a GIF has 256 colours
    assert np.array_equal(read(encode(Image.fromarray(grey), kind, **LOSSLESS[kind])), grey)


EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 12\n%%EndComments\nshowpage\n'


@pytest.mark.parametrize('name', ['picture.eps', 'picture.png', 'picture.jpg'])
def test_eps_never_starts_ghostscript(tmp_path, monkeypatch, name):
    def refuse(*args, **kwargs):
        raise AssertionError('a program was started')

    monkeypatch.setattr(subprocess, 'check_call', refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)
    monkeypatch.setattr(EpsImagePlugin, 'has_ghostscript', lambda: True)
    monkeypatch.setattr(EpsImagePlugin, 'gs_binary', 'gs')
    (tmp_path / name).write_bytes(EPS)
    for reader in (read_rgb, read_image_size):
        with pytest.raises(
            ValueError, match=rf"image '{name}' cannot be read \(no image of JPEG, PNG, WEBP, BMP, TIFF, GIF"
        ):
            reader(tmp_path / name, name=name, orientation='apply')


@pytest.mark.parametrize('kind', ['PPM', 'ICNS', 'ICO', 'JPEG2000', 'PDF', 'TGA', 'PCX', 'SGI', 'XBM', 'AVIF'])
def test_other_formats_are_refused(kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f'this Pillow writes no {kind}')
    image = Image.new('1', (32, 32)) if kind == 'XBM' else Image.new('RGB', (32, 32))
    with pytest.raises(ValueError, match='cannot be read'):
        read(encode(image, kind))


# --- size


def png_header(width, height):
    """A PNG that says to be of this size and has no pixels."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(bytes(100))) + chunk(b'IEND', b'')


@pytest.mark.filterwarnings('ignore:Image size:PIL.Image.DecompressionBombWarning')
@pytest.mark.parametrize('reader', [read_rgb, read_image_size])
def test_the_limit_comes_before_decoding(reader, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('pixels were decoded')

    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', refuse)
    message = (
        r"image 'photo\.png' has 13300 x 13300 px, more than max_pixels=100,000,000; make it smaller, or raise max_p"
    )
    with pytest.raises(ValueError, match=message):
        reader(io.BytesIO(png_header(13300, 13300)), name='photo.png', orientation='apply')


def test_beyond_pillows_own_limit_both_settings_are_named():
    message = (
        r"image 'photo\.png' cannot be read \(Image size \(400000000 pixels\) exceeds.*MAX_IMAGE_PIXELS beside max"
    )
    with pytest.raises(ValueError, match=message):
        read_rgb(io.BytesIO(png_header(20000, 20000)), name='photo.png', orientation='apply', max_pixels=10**9)


@pytest.mark.filterwarnings('error')
def test_a_warning_of_pillow_that_is_raised_is_named(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 200)
    with pytest.raises(
        ValueError, match=r"image 'photo\.jpg' cannot be read \(Image size \(240 pixels\) exceeds limit"
    ):
        read(encode(Image.fromarray(NUMBERS), 'PNG'))


def test_the_limit_itself_is_read():
    content = encode(Image.fromarray(NUMBERS), 'PNG')
    assert np.array_equal(read(content, max_pixels=240), NUMBERS)
    with pytest.raises(ValueError, match='has 20 x 12 px, more than max_pixels=239'):
        read(content, max_pixels=239)
    assert MAX_IMAGE_PIXELS == 100_000_000


# --- orientation

# Which pixels a viewer shows, by orientation: numpy's words for the EXIF standard's table of first row and column.
SHOWN = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, 1),
}


def turned(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(Image.fromarray(NUMBERS), kind, exif=exif, **LOSSLESS[kind])


@pytest.mark.parametrize('orientation', SHOWN)
@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF'])
def test_orientation(kind, orientation):
    content = turned(kind, orientation)
    expected = {'apply': SHOWN[orientation](NUMBERS), 'ignore': NUMBERS}
    for setting, pixels in expected.items():
        assert np.array_equal(read(content, orientation=setting), pixels), setting
        size = read_image_size(io.BytesIO(content), name='photo', orientation=setting)
        assert size == (pixels.shape[1], pixels.shape[0]), setting
        image = read_rgb(io.BytesIO(content), name='photo', orientation=setting)
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), pixels)  # nothing is left to apply twice
    if orientation == 1:
        assert np.array_equal(read(content), NUMBERS)
        return
    for reader in (read_rgb, read_image_size):
        with pytest.raises(
            ValueError,
            match=rf"image 'photo' is stored turned or mirrored \(EXIF orientation {orientation}\), .* set orientation "
            "to 'apply' if .*, to 'ignore' if on the pixels as stored",
        ):
            reader(io.BytesIO(content), name='photo', orientation='refuse')


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize('kind', ['WEBP', 'TIFF'])
def test_orientation_in_xmp_alone(kind):
    given = {'tiffinfo': {700: XMP}} if kind == 'TIFF' else {'xmp': XMP, 'lossless': True}
    content = encode(Image.fromarray(NUMBERS), kind, **given)
    for setting, pixels in (('apply', SHOWN[6](NUMBERS)), ('ignore', NUMBERS)):
        assert np.array_equal(read(content, orientation=setting), pixels), setting
        size = read_image_size(io.BytesIO(content), name='photo', orientation=setting)
        assert size == (pixels.shape[1], pixels.shape[0]), setting


@pytest.mark.parametrize('orientation', [0, 9, 255])
def test_orientations_that_mean_nothing_turn_nothing(orientation):
    for setting in images.ORIENTATIONS:
        assert np.array_equal(read(turned('PNG', orientation), orientation=setting), NUMBERS)


# --- frames


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP', 'TIFF', 'MPO'])
def test_of_several_frames_the_first_is_read_and_that_is_said_once(kind, caplog, monkeypatch):
    monkeypatch.setattr(images, '_FRAMES_SAID', set())
    first, second = (Image.new('RGB', (20, 12), colour) for colour in ('white', 'black'))
    kwargs = {'lossless': True} if kind == 'WEBP' else {}
    content = encode(first, kind, save_all=True, append_images=[second], **kwargs)
    with caplog.at_level(logging.WARNING, logger='flmm'):
        for _ in range(3):
            assert (read(content) == 255).all()
    assert [record.getMessage() for record in caplog.records] == [
        f"image 'photo.jpg' ({kind}) has several frames; of all such images the first is read"
    ]


# --- files


def test_files_that_are_not_regular_never_block(tmp_path):
    os.mkfifo(tmp_path / 'fifo.png')
    for reader in (read_rgb, read_image_size):
        for path in (tmp_path / 'fifo.png', '/dev/zero', tmp_path, tmp_path / 'absent.png'):
            with pytest.raises(ValueError, match=r"image 'photo' cannot be read \(.+\)"):
                reader(path, name='photo', orientation='apply')


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
@pytest.mark.parametrize('kind', ['JPEG', *LOSSLESS])
def test_damaged_files_are_named(kind):
    content = np.frombuffer(encode(Image.fromarray(NUMBERS), kind), dtype=np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = content.copy()
        damaged[rng.integers(0, min(200, len(content)), 4)] = rng.integers(0, 256, 4)
        try:
            assert read(damaged.tobytes(), orientation='apply').ndim == 3
        except ValueError as error:
            assert "image 'photo.jpg'" in str(error)  # noqa: PT017 (some damage is harmless)


def test_images_of_a_folder(tmp_path):
    for name in ('b.PNG', 'a.jpeg', 'c.txt', 'd'):
        (tmp_path / name).touch()
    (tmp_path / 'e.png').mkdir()
    assert images_in(str(tmp_path)) == [tmp_path / 'a.jpeg', tmp_path / 'b.PNG']


def test_folders_that_have_no_images_are_named(tmp_path):
    with pytest.raises(ValueError, match=rf"folder '{tmp_path}' has no images \(\.bmp, \.gif, .*\.webp\)"):
        images_in(tmp_path)
    (tmp_path / 'a.png').touch()
    with pytest.raises(
        ValueError, match=r"folder '.*a\.png' cannot be listed \(.*Not a directory.*\); give a folder of"
    ):
        images_in(tmp_path / 'a.png')


def test_integers_of_32_bits_are_read_as_16_unless_they_may_be_of_8():
    """Eight bits in int32, taken for sixteen, would be black."""
    sixteen = np.arange(0, 65536, 257, dtype=np.int32).reshape(16, 16)
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(sixteen)))[..., 0], sixteen // 257)
    assert not np.asarray(to_rgb(Image.fromarray(np.zeros((2, 2), dtype=np.int32)))).any()
    for most in (1, 255):
        with pytest.raises(
            ValueError, match=f"pixels of mode 'I' up to {most} may be of 8 or 16 bits; convert to mode"
        ):
            to_rgb(Image.fromarray(np.full((2, 2), most, dtype=np.int32)))
    assert np.asarray(to_rgb(Image.fromarray(np.full((2, 2), 256, dtype=np.int32)))).max() == 1
