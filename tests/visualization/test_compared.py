import numpy as np
import pytest
from PIL import Image
from prediction_lines import rle

from flmm.phrase_info import PhraseInfo
from flmm.scoring import ComparedPhrase, Truth
from flmm.visualization import compared_page, draw_page

NAMES = ('A', 'B')


def compared(image, masks, true, ious=(0.5, 1.0)):
    mask, *found = (None if bitmap is None else rle(bitmap) for bitmap in (true, *masks))
    truth = Truth(
        where="'truth.jsonl', line 3", test_set=None, image=image, phrase='the $cat', mask=mask, ignore=None,
        info=PhraseInfo(),
    )  # fmt: skip
    return ComparedPhrase(truth=truth, masks=tuple(found), ious=ious, outcome='lost')


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    return pixels


def test_what_a_row_shows(picture, tmp_path):
    bitmaps = [np.random.default_rng(seed).random((30, 40)) < 0.3 for seed in (1, 2)]
    page = compared_page(
        [compared('a.png', (bitmaps[0], None), bitmaps[1])], names=NAMES, images=tmp_path, orientation='refuse'
    )
    (row,) = page.rows
    np.testing.assert_array_equal(np.asarray(row.image), picture)
    for title, expected in (('A', bitmaps[0]), ('B', np.zeros((30, 40))), ('truth', bitmaps[1])):
        np.testing.assert_array_equal(row.masks[title], expected)
    titles = [axis.get_title(loc='left') for axis in draw_page(page).axes]
    assert titles == ['"the $cat"', 'A, IoU 0.50', 'B, IoU 1.00, not there', 'truth']


@pytest.mark.usefixtures('picture')
@pytest.mark.parametrize('true', [None, np.zeros((30, 40))], ids=['null', 'no pixel'])
def test_a_phrase_that_means_nothing_in_the_image_has_no_iou(true, tmp_path):
    """A mask without a pixel that is said to be there is not 'not there'."""
    row = compared('a.png', (None, np.zeros((30, 40))), true, ious=(1.0, 0.0))
    page = compared_page([row], names=NAMES, images=tmp_path, orientation='refuse')
    titles = [axis.get_title(loc='left') for axis in draw_page(page).axes]
    assert titles == ['"the $cat"', 'A, not there', 'B', 'truth, not there']


def test_large_pictures_are_shrunk_with_their_masks(tmp_path):
    Image.new('RGB', (900, 600)).save(tmp_path / 'a.png')
    bitmap = np.zeros((600, 900), dtype=bool)
    bitmap[599, 899] = True
    (row,) = compared_page(
        [compared('a.png', (bitmap, bitmap), None)], names=NAMES, images=tmp_path, orientation='refuse'
    ).rows
    assert row.image.size == (300, 200)
    assert row.masks['A'].shape == (200, 300)
    assert np.argwhere(row.masks['A']).tolist() == [[199, 299]]


@pytest.mark.usefixtures('picture')
@pytest.mark.parametrize(
    ('image', 'size', 'problem'),
    [
        ('b.png', (30, 40), r"image '.*b\.png' cannot be read \(it does not exist\)"),
        ('../a.png', (30, 40), r"path '\.\./a\.png' is absolute or goes up"),
        (
            'a.png',
            (40, 30),
            r"a\.png' has 30x40 px \(height x width\), its masks 40x30 \('truth.jsonl', line 3\); take",
        ),
    ],
)
def test_a_picture_that_cannot_be_shown_is_named(image, size, problem, tmp_path):
    masks = (np.ones(size), None)
    with pytest.raises(ValueError, match=problem):
        compared_page([compared(image, masks, None)], names=NAMES, images=tmp_path, orientation='refuse')


def test_names_are_paths_without_a_folder(picture, tmp_path):
    path = str(tmp_path / 'a.png')
    page = compared_page([compared(path, (None, None), None)], names=NAMES, images=None, orientation='refuse')
    np.testing.assert_array_equal(np.asarray(page.rows[0].image), picture)
