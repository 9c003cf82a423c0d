"""Every kind of image that can be read, and what is said of the others."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_reading import build_reader, photo

from flmm.grounder.any_image import any_image


@pytest.fixture(scope='module')
def grounder():
    return build_reader()


def logits(grounder, image):
    return grounder(image, ['x']).refined.in_image()


def test_every_kind_of_image(grounder, tmp_path):
    image = photo()
    image.save(tmp_path / 'image.png')
    expected = logits(grounder, image)
    pixels = np.asarray(image)
    kinds = [
        str(tmp_path / 'image.png'),
        tmp_path / 'image.png',
        (tmp_path / 'image.png').read_bytes(),
        pixels,
        pixels[:, ::-1][:, ::-1],  # not contiguous
        torch.tensor(pixels).permute(2, 0, 1),
    ]
    for kind in kinds:
        assert torch.equal(logits(grounder, kind), expected), type(kind)
    assert grounder.read(tmp_path / 'image.png').name == str(tmp_path / 'image.png')
    assert grounder.read((tmp_path / 'image.png').read_bytes()).name == grounder.read(pixels).name == 'image'


@pytest.mark.parametrize('grey', [Image.new('L', (56, 60), 128), np.full((60, 56), 128, dtype=np.uint8)], ids=type)
def test_grey_images_are_taken(grounder, grey):
    found = grounder(grey, ['x'])
    assert found.image.mode == 'RGB'
    assert np.asarray(found.image).shape == (60, 56, 3)
    assert (np.asarray(found.image) == 128).all()
    assert found.masks.shape == (1, 60, 56)


@pytest.mark.parametrize('as_bytes', [False, True])
def test_a_file_is_turned_upright(grounder, tmp_path, as_bytes):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = tmp_path / 'turned.png'
    photo().save(path, exif=exif)
    found = grounder(path.read_bytes() if as_bytes else path, ['x'])
    upright = photo().transpose(Image.Transpose.ROTATE_270)
    assert torch.equal(found.refined.in_image(), logits(grounder, upright))
    assert found.masks.shape == (1, 60, 90)


def test_a_path_may_be_of_bytes(tmp_path):
    """As ``os.scandir`` of bytes gives it."""
    photo().save(tmp_path / 'image.png')
    (entry,) = os.scandir(os.fsencode(tmp_path))
    assert any_image(entry)[1] == str(tmp_path / 'image.png')


def test_an_image_that_pillow_has_only_opened(tmp_path):
    photo().save(tmp_path / 'image.png')
    content = (tmp_path / 'image.png').read_bytes()
    found, _ = any_image(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.asarray(found), np.asarray(photo()))
    with pytest.raises(ValueError, match=r"image 'image' cannot be read \(image file is truncated\)"):
        any_image(Image.open(io.BytesIO(content[:-400])))
    closed = Image.open(io.BytesIO(content))
    closed.close()
    with pytest.raises(ValueError, match=r"image 'image' cannot be read \(Operation on closed image\)"):
        any_image(closed)


def test_pixels_are_taken_as_they_lie(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(tmp_path / 'turned.png', exif=exif)
    with Image.open(tmp_path / 'turned.png') as opened:
        found, name = any_image(opened)
    assert name == 'image'
    assert np.array_equal(np.asarray(found), np.asarray(photo()))


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        ('absent.png', r"image 'absent\.png' cannot be read \(it does not exist\); expected the path"),
        ('https://host/a.png', r"image 'https://host/a\.png' cannot be read \(it does not exist\); expected the path"),
        (Image.new('RGB', (0, 4)), 'an image of 0x4 px'),
        (np.zeros((4, 0, 3), dtype=np.uint8), 'an image of 0x4 px'),
        (np.zeros((4, 4, 3)), r'image is a float64 array \(4, 4, 3\), expected uint8 \[height, width\] or'),
        (np.zeros((3, 4, 4), dtype=np.uint8), r'image is a uint8 array \(3, 4, 4\), expected uint8'),
        (torch.zeros(3, 4, 4), r'image is a torch\.float32 tensor \(3, 4, 4\), expected uint8 \[3, height, width\]'),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r'torch\.uint8 tensor \(4, 4, 3\), expected uint8 \[3, '),
        (
            None,
            'image is a NoneType, expected a path, bytes of a file, a PIL image, a uint8 array or a uint8 tensor',
        ),
        (b'bytes', "image 'image' cannot be read"),
        (b'', "image 'image' cannot be read"),
        ([photo()], 'image is a list, expected a path, bytes of a file'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_images_are_refused_by_name(grounder, image, message):
    with pytest.raises(ValueError, match=message):
        grounder.read(image)


def test_an_image_that_the_processor_refuses_is_named(grounder, tmp_path):
    photo((402, 2)).save(tmp_path / 'thin.png')
    with pytest.raises(ValueError, match=r"image '.*thin\.png': absolute aspect ratio must be smaller than 200"):
        grounder.read(tmp_path / 'thin.png')
