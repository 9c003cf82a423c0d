"""Masks in files, against bitmaps drawn here."""

import re

import numpy as np
import pytest
from PIL import Image

from flmm.datasets.mask_files import is_file_mask, mask_of_file, panoptic_ids

IDS = np.array([[0, 1, 1], [256, 65_536, 16_777_215]])
RGB = np.stack([IDS % 256, IDS // 256 % 256, IDS // 65_536], axis=-1).astype(np.uint8)


def test_ids_are_red_and_256_green_and_65536_blue():
    assert np.array_equal(panoptic_ids(RGB), IDS)


def test_segments_are_united(tmp_path):
    path = str(tmp_path / 'panoptic.png')
    Image.fromarray(RGB).save(path)

    mask = mask_of_file({'panoptic': path, 'ids': [1, 16_777_215]}, {})

    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1, 1], [0, 0, 1]]


def test_a_picture_is_read_once(tmp_path):
    path = str(tmp_path / 'panoptic.png')
    Image.fromarray(RGB).save(path)
    pictures = {}
    mask_of_file({'panoptic': path, 'ids': [1]}, pictures)
    (tmp_path / 'panoptic.png').unlink()

    assert mask_of_file({'panoptic': path, 'ids': [256]}, pictures).tolist() == [[0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize('mode', ['L', '1', 'P', 'I;16'])
def test_a_mask_file_is_every_pixel_that_is_not_zero(tmp_path, mode):
    path = str(tmp_path / 'mask.png')
    values = np.array([[0, 1], [200, 0]])
    if mode == 'I;16':
        picture = Image.fromarray((values * 300).astype(np.uint16))
    elif mode == 'P':
        picture = Image.fromarray(values.astype(np.uint8), mode='P')
        picture.putpalette([9, 9, 9] * 256)  # black or not, the index counts
    else:
        picture = Image.fromarray((values > 0) if mode == '1' else values.astype(np.uint8))
    picture.save(path)

    assert mask_of_file({'png': path}, {}).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ('mask', 'content', 'problem'),
    [
        ('panoptic', None, 'which does not exist'),
        ('png', b'no picture', 'which cannot be read as a PNG'),
        ('png', b'\x89PNG\r\n\x1a\n' + b'\0\0\0\x01IHDR\0' + b'\0' * 4, 'which cannot be read as a PNG'),
        ('png', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'which cannot be read as a PNG'),
        ('panoptic', Image.new('L', (2, 2), 7), 'of mode L, expected RGB'),
        ('png', Image.new('RGB', (2, 2), 'red'), 'of mode RGB, expected one channel'),
        ('png', Image.new('L', (2, 2)), 'in which all pixels are 0'),
        ('panoptic', Image.new('RGB', (2, 2)), 'has segment 5, of which'),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, mask, content, problem):
    path = tmp_path / 'a.png'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content.save(path)

    with pytest.raises(ValueError, match=re.escape(problem)):
        mask_of_file({mask: str(path), 'ids': [5]} if mask == 'panoptic' else {mask: str(path)}, {})


def test_files_of_more_pixels_than_images_may_have_are_not_decoded(tmp_path, monkeypatch):
    path = str(tmp_path / 'mask.png')
    Image.new('L', (3, 2), 1).save(path)
    monkeypatch.setattr('flmm.datasets.mask_files.MAX_IMAGE_PIXELS', 5)
    with pytest.raises(ValueError, match=re.escape(f'is the file {path!r} of 3 x 2 px, more than 5')):
        mask_of_file({'png': path}, {})


@pytest.mark.parametrize(
    ('mask', 'expected'),
    [
        ({'png': 'a'}, True),
        ({'panoptic': 'a', 'ids': [1]}, True),
        ({'size': [1, 1], 'counts': [1]}, False),
        ([[1]], False),
    ],
)
def test_which_masks_lie_in_files(mask, expected):
    assert is_file_mask(mask) is expected
