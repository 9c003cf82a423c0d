"""LabelMe's shapes, against bitmaps drawn here."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from flmm.datasets.importers import labelme_items
from flmm.datasets.load_masks import draw_mask

HEIGHT, WIDTH = 40, 60
SIZE = (HEIGHT, WIDTH)
SQUARE = [[10, 5], [30, 5], [30, 25], [10, 25]]


def shape(label, points, kind='polygon', **extra):
    return {'label': label, 'points': points, 'shape_type': kind, 'group_id': None, 'flags': {}, **extra}


def png(crop):
    file = io.BytesIO()
    Image.fromarray(crop).save(file, format='PNG')
    return base64.b64encode(file.getvalue()).decode()


def box(left, top, right, bottom):
    bitmap = np.zeros(SIZE, dtype=bool)
    bitmap[top:bottom, left:right] = True
    return bitmap


@pytest.fixture
def read(tmp_path):
    """Write a JSON file and its picture; read the folder."""

    def read(shapes, name='a', *, skip_broken=False, **content):
        content = {'shapes': shapes, 'imagePath': f'{name}.jpg', 'imageHeight': HEIGHT, 'imageWidth': WIDTH, **content}
        Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / f'{name}.jpg')
        path = tmp_path / f'{name}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return labelme_items(tmp_path, images=tmp_path, skip_broken=skip_broken)

    return read


def masks(item):
    return [draw_mask(target.mask, {}, size=SIZE, whose='a mask').astype(bool) for target in item.targets]


CROP = np.array([[True, False, True], [True, True, False]])
CROP_LAID = np.zeros(SIZE, dtype=bool)
CROP_LAID[7:9, 4:7] = CROP
CUT_OFF = np.zeros(SIZE, dtype=bool)
CUT_OFF[39, 58:] = CROP[0, :2]


@pytest.mark.parametrize(
    ('drawn', 'expected'),
    [
        (shape('it', SQUARE), box(10, 5, 30, 25)),
        ({'label': 'it', 'points': SQUARE}, box(10, 5, 30, 25)),  # of old files
        (shape('it', [[30, 25], [10, 5]], 'rectangle'), box(10, 5, 30, 25)),
        (shape('it', SQUARE, 'oriented_rectangle'), box(10, 5, 30, 25)),
        (shape('it', [[4, 7], [6, 8]], 'mask', mask=png(CROP)), CROP_LAID),
        (shape('it', [[4, 7], [6, 8]], 'mask', mask=png(CROP.astype(np.uint8) * 255)), CROP_LAID),
        (shape('it', [[4.3, 7.2], [6.6, 8.9]], 'mask', mask=png(CROP)), CROP_LAID),
        (shape('it', [[58, 39], [60, 40]], 'mask', mask=png(CROP)), CUT_OFF),
    ],
)
def test_shapes(read, drawn, expected):
    (item,), left_out = read([drawn])

    assert left_out == []
    assert (item.img_path, item.annotated_size) == ('a.jpg', SIZE)
    assert np.array_equal(masks(item)[0], expected)


def test_a_circle_is_the_pixels_whose_middles_it_holds(read):
    (item,), _ = read([shape('it', [[30, 20], [30, 32.5]], 'circle')])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    exact = (rows - 20) ** 2 + (columns - 30) ** 2 <= 12.5**2
    assert np.array_equal(masks(item)[0], exact)


def test_shapes_of_a_label_and_a_group_are_one_phrase(read):
    left, right = SQUARE, [[40, 5], [50, 5], [50, 25], [40, 25]]
    crop = shape('cat', [[4, 7], [6, 8]], 'mask', mask=png(CROP), group_id=1)
    (item,), _ = read(
        [
            shape('cat', left, group_id=1), shape('cat', right), shape('cat', right, group_id='1'),
            shape('dog', left, group_id=1), shape('cat', left), crop,
        ]
    )  # fmt: skip
    assert [target.texts[0][0] for target in item.targets] == ['cat', 'cat', 'dog', 'cat']
    expected = [box(10, 5, 30, 25) | box(40, 5, 50, 25) | CROP_LAID, box(40, 5, 50, 25), *[box(10, 5, 30, 25)] * 2]
    assert np.array_equal(masks(item), expected)


def test_a_label_is_one_phrase_however_it_is_written(read):
    parts = [('Cup ', 1, SQUARE), ('cup', '1', [[40, 5], [50, 5], [50, 25], [40, 25]]), ('cup', None, SQUARE)]
    (item,), _ = read([shape(label, points, group_id=group) for label, group, points in parts])
    assert [target.texts[0][0] for target in item.targets] == ['Cup ', 'cup']
    assert np.array_equal(masks(item), [box(10, 5, 30, 25) | box(40, 5, 50, 25), box(10, 5, 30, 25)])


def test_folders_and_backslashes(read, tmp_path):
    (tmp_path / 'sub').mkdir()
    read([shape('it', SQUARE)], name='b')
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'sub' / 'c.jpg')
    items, _ = read([shape('it', SQUARE)], imagePath='sub\\c.jpg', imageHeight=None, imageWidth=None)
    assert [item.img_path for item in items] == ['sub/c.jpg', 'b.jpg']


def test_points_lie_on_the_picture_as_it_is_seen(read, tmp_path):
    read([shape('it', SQUARE)])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (HEIGHT, WIDTH)).save(tmp_path / 'a.jpg', exif=exif)
    (item,), _ = labelme_items(tmp_path, images=tmp_path)
    assert item.annotated_size == SIZE


@pytest.mark.parametrize(
    ('drawn', 'message'),
    [
        (
            shape('it', [[1, 1], [5, 5]], 'line'),
            r"shape 1 \('it'\) of annotation '.*a\.json': it is a line, which has no",
        ),
        (shape('it', [[1, 1]], 'point'), r'it is a point, which has no area; draw a polygon, or leave such shapes out'),
        (shape('it', [[1, 1], [5, 5]]), r'it is a polygon of 2 points, expected three or more'),
        (shape('it', SQUARE, 'rectangle'), r'it is a rectangle of 4 points, expected 2'),
        (shape('it', [[7, 7], [7, 7], [7, 7]]), r'it has a polygon of one repeated point \(7, 7\); it is empty'),
        (shape('it', [[1, 1], [5]]), r'it has the point \[5\], expected two numbers in px'),
        (shape('it', SQUARE, ['polygon']), r"it has shape_type \['polygon'\], expected a string such as 'polygon'"),
        (shape('it', SQUARE, group_id=[1]), r'it has group_id \[1\], expected an integer or a string .*, or null'),
        (shape('it', SQUARE, group_id=1.0), r'it has group_id 1\.0, expected an integer or a string'),
        (shape('it', SQUARE, group_id=''), r"it has group_id '', expected an integer or a string"),
        (shape('it', SQUARE, group_id=True), r'it has group_id True, expected an integer or a string'),
        (shape('?', SQUARE), r"shape 1 \('\?'\) of .*: phrase '\?' has no letter or digit"),
        (shape('it', [[4, 7], [6, 8]], 'mask'), r'it is a mask without a PNG in base64 under "mask"'),
        (shape('it', [[4, 7], [6, 8]], 'mask', mask='????'), r'it is a mask without a PNG in base64 under "mask"'),
        (
            shape('it', [[4, 7], [7, 8]], 'mask', mask=png(CROP)),
            r'it is a mask of \(2, 3\) px .*, its box has \(2, 4\)',
        ),
        (
            shape('it', [[4, 7], [6, 8]], 'mask', mask=png(np.zeros((2, 3, 3), dtype=np.uint8))),
            r'it is a mask of 3 channels, expected one',
        ),
    ],
)
def test_shapes_without_area_stop_it_or_are_left_out_with_a_word(read, drawn, message):
    with pytest.raises(ValueError, match=message):
        read([shape('good', SQUARE), drawn])

    (item,), (left_out,) = read([shape('good', SQUARE), drawn], skip_broken=True)

    assert [target.texts[0][0] for target in item.targets] == ['good']
    with pytest.raises(ValueError, match=message):
        raise ValueError(left_out)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'imagePath': None}, r"annotation '.*a\.json' has imagePath None, expected the path of its picture"),
        (
            {'imagePath': '../a.jpg'},
            r"annotation '.*' has the picture '.*', outside the image folder '.*'; name another",
        ),
        ({'imagePath': 'nowhere.jpg'}, r"image '.*nowhere\.jpg' cannot be read \(it does not exist\)"),
        ({'imagePath': 'a' * 5000}, r"annotation '.*a\.json' has imagePath 'aaa.*', expected the path of its picture"),
        (
            {'imageHeight': '40'},
            r"was made on '40'x60 px \(height x width\), its picture .* has 40x60; take the picture",
        ),
        ({'imageHeight': 41}, r'was made on 41x60 px \(height x width\), its picture .* has 40x60; take the picture'),
        ({'shapes': {}}, r"annotation '.*' has no list 'shapes'"),
        ({'shapes': [{'label': 3}]}, r"shape 0 of annotation '.*' is \{'label': 3\}, expected an object with a label"),
        ({'shapes': []}, r"annotation '.*a\.json' has no shape that can be read; remove or annotate it"),
    ],
)
def test_what_is_broken_is_named(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(**{'shapes': [shape('it', SQUARE)], **content})


def test_a_picture_has_one_file(read, tmp_path):
    read([shape('it', SQUARE)])
    (tmp_path / 'copy.json').write_text((tmp_path / 'a.json').read_text())
    with pytest.raises(
        ValueError, match=r"annotations '.*a\.json' and '.*copy\.json' are both of the picture 'a\.jpg'"
    ):
        labelme_items(tmp_path, images=tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"folder '.*' holds no \.json, also below; name the folder"):
        labelme_items(tmp_path, images=tmp_path)
