"""Masks over an image, and the legend."""

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.visualization import draw_overlay, overlay
from flmm.visualization.mask_layer import PALETTE, colour_of
from flmm.visualization.overlay import LONGEST_SIDE, NARROWEST


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rectangle(size, rows, columns):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


@pytest.fixture
def written(monkeypatch):
    """Every text of a picture, and where it stands: (x, y from below, text)."""
    texts, write = [], overlay.TextFigure.text

    def recorded(self, x, y, text, **kwargs):
        texts.append((x, y, text))
        return write(self, x, y, text, **kwargs)

    monkeypatch.setattr(overlay.TextFigure, 'text', recorded)
    return texts


def test_every_pixel_but_those_under_numbers(written):
    """Of three masks, of which two overlap, against a loop over pixels: each lies over those before it."""
    size = (200, 400)
    pixels = noise(*size)
    masks = [
        rectangle(size, *sides) for sides in [((20, 120), (30, 170)), ((60, 190), (100, 260)), ((50, 80), (300, 390))]
    ]
    picture = np.asarray(draw_overlay(Image.fromarray(pixels), masks=masks, phrases=['a', 'b', 'c']))
    assert picture.shape[1] == 400

    expected = pixels.astype(float)
    for mask, colour in zip(masks, PALETTE, strict=False):
        rows, columns = (np.flatnonzero(mask.any(dim=axis)) for axis in (1, 0))
        for row in range(rows[0], rows[-1] + 1):
            for column in range(columns[0], columns[-1] + 1):
                depth = min(row - rows[0], rows[-1] - row, column - columns[0], columns[-1] - column)
                before = expected[row, column]
                if depth == 0:  # the lines are one pixel thick
                    expected[row, column] = colour
                elif depth == 1:
                    expected[row, column] = 255
                else:
                    expected[row, column] = 0.5 * before + 0.5 * np.array(colour)
    clear = np.ones(size, dtype=bool)
    numbers = [(x, y) for x, y, text in written if text in '123' and y > picture.shape[0] - 200]
    assert len(numbers) == 3
    for x, y in numbers:
        row, column = picture.shape[0] - int(y) - 1, int(x)
        clear[row - 12 : row + 13, column - 12 : column + 13] = False
    assert clear.mean() > 0.9
    np.testing.assert_allclose(picture[:200][clear], expected[clear], atol=1.5)  # each layer rounds to 8 bits


def test_numbers_stand_in_their_masks_and_apart(written):
    size = (200, 400)
    ring = rectangle(size, (0, 200), (0, 200)) & ~rectangle(size, (60, 140), (60, 140))
    masks = [ring, ring, rectangle(size, (90, 110), (90, 110))]
    height = draw_overlay(Image.fromarray(noise(*size)), masks=masks, phrases=['a', 'b', 'c']).height
    places = [(height - y, x) for x, y, text in written if text in '123'][:3]
    for (row, column), mask in zip(places, masks, strict=True):
        assert mask[int(row), int(column)]
    assert np.hypot(*np.subtract(places[0], places[1])) >= 30


def test_the_legend_has_every_phrase(written):
    size = (100, 500)
    phrases = ['the circle', 'a $x_1$ of 狗 ' * 30, 'the star']
    masks = [rectangle(size, (10, 60), (10, 60)), rectangle(size, (0, 0), (0, 0)), rectangle(size, (10, 60), (90, 99))]
    image = draw_overlay(Image.fromarray(noise(*size)), masks=masks, phrases=phrases, exists=[True, True, False])
    legend = [(y, text) for _, y, text in written if y < image.height - 100]
    assert [text for _, text in legend if text.startswith('the')] == ['the circle', 'the star']
    (long,) = [text for _, text in legend if text.startswith('a $x_1$ of 狗 a')]
    assert long.count('\n') == 1
    assert long.endswith('…')
    heights = {text: y for y, text in legend}
    assert [text for y, text in legend if y == heights['the star']] == ['the star', '3', 'not there']
    assert [text for y, text in legend if y == heights[long]] == [long, '2']
    assert all(y > 0 for y, _ in legend)


def test_without_a_verdict_an_empty_mask_says_that_it_is_not_there(written):
    masks = [rectangle((50, 50), (0, 9), (0, 9)), rectangle((50, 50), (0, 0), (0, 0))]
    draw_overlay(Image.fromarray(noise(50, 50)), masks=masks, phrases=['a', 'b'])
    assert [text for _, _, text in written] == ['1', 'a', '1', 'b', '2', 'not there']


def test_each_mask_has_its_colour():
    size = (60, 800)
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    masks = [rectangle(size, (0, 60), (90 * index, 90 * index + 80)) for index in range(8)]
    picture = np.asarray(draw_overlay(Image.fromarray(pixels), masks=masks, phrases=list('abcdefgh')))
    colours = [tuple(picture[30, 90 * index]) for index in range(8)]  # of the outlines
    assert colours == [colour_of(index) for index in range(8)]
    assert len(set(colours)) == 8


@pytest.mark.parametrize(
    ('size', 'expected'), [((2000, 3200), (1000, 1600)), ((3, 4), (3, NARROWEST)), ((1, 3200), (1, LONGEST_SIDE))]
)
def test_large_images_are_shrunk_and_small_ones_are_not_enlarged(size, expected):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[-1, -1] = True  # stays visible
    picture = np.asarray(draw_overlay(Image.new('RGB', (size[1], size[0])), masks=[mask], phrases=['a']))
    height, width = expected
    assert picture.shape[1] == width
    assert picture[:height].any()


def test_a_legend_has_an_end(written, monkeypatch):
    monkeypatch.setattr(overlay, 'MAX_ROWS', 3)
    masks = [rectangle((50, 50), (0, 9), (0, 9))] * 5
    draw_overlay(Image.fromarray(noise(50, 50)), masks=masks, phrases=list('abcde'))
    texts = [text for _, _, text in written]
    assert [text for text in texts if text in 'abcde'] == ['a', 'b', 'c']
    assert texts[-1] == '2 more not listed'
