"""ReasonSeg: what is painted, against pictures drawn by hand."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from flmm.data_check.problems import logged_warnings
from flmm.datasets import LoadMasks, PILLoadImageFromFile, ReasonSegDataset, RefCOCO2PNG
from flmm.datasets.reason_seg import paint_shapes
from flmm.structures import PhraseInfo


def box(left, top, right, bottom):
    """The corners of a rectangle whose outline, drawn, is these rows and columns, both ends included."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def shape(label, points):
    return {'label': label, 'points': points, 'shape_type': 'polygon'}


def picture(text):
    """'.' is 0, '1' the target, 'i' ignored."""
    return np.array([[{'.': 0, '1': 1, 'i': 255}[cell] for cell in row] for row in text.split()])


def paint(*shapes, size=(6, 8)):
    return paint_shapes([(label, np.array(points, dtype=float)) for label, points in shapes], size=size)


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_smaller_covers_the_larger_whatever_they_are_and_however_they_are_listed(order):
    shapes = [('target', box(0, 0, 6, 4)), ('ignore', box(2, 1, 7, 3)), ('target', box(4, 2, 5, 3))]
    expected = picture("""
        1111111.
        11iiiiii
        11ii11ii
        11ii11ii
        1111111.
        ........
    """)
    assert np.array_equal(paint(*(shapes[index] for index in order)), expected)


def test_of_equal_ones_the_first_is_on_top():
    first, second = ('target', box(0, 0, 3, 2)), ('ignore', box(2, 1, 5, 3))
    assert np.array_equal(paint(first, second), picture('1111.... 1111ii.. 1111ii.. ..iiii.. ........ ........'))
    assert np.array_equal(paint(second, first), picture('1111.... 11iiii.. 11iiii.. ..iiii.. ........ ........'))


def test_coordinates_are_cut_and_the_outline_is_inside():
    assert np.array_equal(paint(('target', box(1.9, 1.9, 3.99, 2.99))), paint(('target', box(1, 1, 3, 2))))
    assert paint(('target', box(1, 1, 3, 2))).sum() == 6
    assert np.array_equal(
        paint(('target', [[1, 1], [4, 1]])), picture('........ .1111... ........ ........ ........ ........')
    )
    assert paint(('target', box(-5, -5, 20, 20))).all()


@pytest.mark.parametrize(
    ('label', 'value'),
    [('target', 1), ('dog', 1), ('ignore', 255), ('Ignored region', 255), ('flag', 0), ('FLAG', 0), ('flags', 1)],
)
def test_labels(label, value):
    assert paint((label, box(0, 0, 7, 5))).tolist() == [[value] * 8] * 6


CONTENT = {
    'text': ['The thing to sit on?', 'Where to sit'],
    'is_sentence': True,
    'shapes': [shape('target', box(1, 1, 4, 3)), shape('ignore', box(3, 2, 4, 3)), shape('flag', box(0, 0, 7, 5))],
}


@pytest.fixture
def load(tmp_path):
    def load(files, **kwargs):
        folder = tmp_path / 'val'
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            Image.new('RGB', (8, 6)).save(folder / f'{name}.jpg')
            if content is not None:
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                (folder / f'{name}.json').write_bytes(content)
        settings = {'data_root': str(tmp_path), 'data_prefix': {'img_path': 'val/'}, 'serialize_data': False}
        return ReasonSegDataset(name='reason_seg_val', **settings, **kwargs)

    return load


def test_items(load, tmp_path):
    dataset = load(
        {'b': CONTENT, 'a': {**CONTENT, 'text': 'a seat', 'is_sentence': False, 'shapes': CONTENT['shapes'][:1]}}
    )

    first, second = dataset.get_data_info(0), dataset.get_data_info(1)

    assert [item['img_id'] for item in dataset] == ['a', 'b']
    assert second['img_path'] == str(tmp_path / 'val' / 'b.jpg')
    assert (second['annotated_size'], second['dataset_name']) == ((6, 8), 'reason_seg_val')
    assert second['text'] == ['The thing to sit on?']
    assert (first['text'], first['phrase_infos']) == (['a seat'], [PhraseInfo(kind='short')])
    assert second['phrase_infos'] == [PhraseInfo(kind='long')]
    drawn = LoadMasks().transform({**second, 'height': 6, 'width': 8})
    assert np.array_equal(
        drawn['gt_masks'].to_ndarray()[0], picture('........ .1111... .11..... .11..... ........ ........')
    )
    ignored = picture('........ ........ ...ii... ...ii... ........ ........') == 255
    assert np.array_equal(drawn['ignore_masks'].to_ndarray()[0], ignored)
    assert first['instances'][0]['ignore'] is None
    assert load({}, text_mode='original').get_data_info(1)['text'] == CONTENT['text']


def test_samples_know_what_no_metric_counts(load, tmp_path, wrapper):
    pipeline = [
        PILLoadImageFromFile(orientation='apply'),
        LoadMasks(),
        RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=False),
    ]
    load({'a': CONTENT})
    Image.new('RGB', (84, 56)).save(tmp_path / 'val' / 'a.jpg')

    (sample,) = load({}, pipeline=pipeline)[0]

    assert (sample.dataset_name, sample.phrases) == ('reason_seg_val', ['The thing to sit on?'])
    assert (int(sample.gt_masks.sum()), int(sample.ignore_masks.sum())) == (8, 4)
    assert not (sample.gt_masks & sample.ignore_masks).any()


def test_cp1252_is_read_where_it_is_no_utf_8(load):
    text = json.dumps({**CONTENT, 'text': ['the café\u2019s door']}, ensure_ascii=False)
    assert load({'a': text.encode('cp1252')}).get_data_info(0)['text'] == ['the café\u2019s door']
    assert load({'a': text.encode()}).get_data_info(0)['text'] == ['the café\u2019s door']


def test_a_picture_stored_turned_is_drawn_on_as_it_is_seen(load, tmp_path):
    load({'a': CONTENT})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (6, 8)).save(tmp_path / 'val' / 'a.jpg', exif=exif)
    assert load({}).get_data_info(0)['annotated_size'] == (6, 8)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, "folder .* has no 'a.json'; unpack the archive again"),
        (b'{"text"', 'is not JSON'),
        (b'\x81', 'is not JSON'),
        ([], "has no list 'shapes' ([])"),
        ({**CONTENT, 'shapes': 3}, "has no list 'shapes'"),
        ({**CONTENT, 'shapes': [7]}, 'shape 0 of annotation .* is 7, expected an object with a label'),
        ({**CONTENT, 'shapes': [{'label': 'a'}]}, 'has points None, expected a list [[x, y], ...] in px'),
        ({**CONTENT, 'shapes': [shape('a', [[1, 2], [3]])]}, 'has the point [3], expected two numbers in px'),
        ({**CONTENT, 'shapes': [shape('a', [[1, '2']])]}, "has the point [1, '2'], expected two numbers in px"),
        ({**CONTENT, 'shapes': [shape('a', [[1, 1e300]])]}, 'has the point [1, 1e+300], expected two numbers in px'),
        ({**CONTENT, 'shapes': CONTENT['shapes'][1:]}, 'has no pixel of a target, in a picture of 6x8 px'),
        ({**CONTENT, 'text': []}, 'has text [], expected a list of strings'),
        ({**CONTENT, 'text': [7]}, 'phrase 7 is of type int, expected a string'),
        ({**CONTENT, 'text': ['?']}, "phrase '?' has no letter or digit"),
        ({**CONTENT, 'is_sentence': 1}, 'has is_sentence 1, expected true or false'),
    ],
)
def test_what_is_broken_is_named(load, content, message):
    with pytest.raises(ValueError, match=re.escape(message).replace(r'\.\*', '.*')):
        load({'a': content})


def test_targets_outside_their_picture_are_counted_in_the_log(load):
    with logged_warnings() as warnings:
        load({'a': {**CONTENT, 'shapes': [shape('target', box(4, 0, 12, 6))]}, 'b': CONTENT}).full_init()
    assert len(warnings) == 1
    assert re.search(
        r"of 1 masks of folder '.*val' more than 10% lies outside the image, of annotation 'a' 50%", warnings[0]
    )


def test_missing_pictures_are_named(load, tmp_path):
    with pytest.raises(ValueError, match=r"folder '.*val' holds no \.jpg; check data_root and data_prefix"):
        load({})
    load({'a': CONTENT, 'b': CONTENT})
    (tmp_path / 'val' / 'b.jpg').unlink()
    with pytest.raises(ValueError, match=r"has no 'b\.jpg'; unpack the archive again"):
        load({})
