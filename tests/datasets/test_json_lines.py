"""JsonLinesDataset: every form of a mask against bitmaps drawn here; what is broken, named by line and phrase."""

import json
import logging
import re

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from flmm.datasets import JsonLinesDataset, LoadMasks
from flmm.registry import DATASETS
from flmm.rle import encode_masks
from flmm.structures import PhraseInfo

BITMAP = np.zeros((6, 8), dtype=bool)
BITMAP[1:4, 2:6] = True
POLYGONS = [[2, 1, 6, 1, 6, 4, 2, 4]]
"""Of BITMAP."""
CORNER = np.zeros((6, 8), dtype=bool)
CORNER[4:, 6:] = True
RUNS = {'size': [6, 8], 'counts': [40, 2, 4, 2]}
"""Of CORNER, column by column."""
STRIPE = np.zeros((6, 8), dtype=bool)
STRIPE[0] = True
"""What stripe.png holds."""


def line(*phrases, **extra):
    return {'image': 'cats.jpg', 'height': 6, 'width': 8, 'phrases': list(phrases), **extra}


SQUARE = {'phrase': 'the square', 'polygons': POLYGONS}


@pytest.fixture
def load(tmp_path):
    """Write lines, or a text, and build a dataset of them."""
    Image.fromarray(STRIPE.astype(np.uint8) * 255).save(tmp_path / 'stripe.png')

    def load(content, **kwargs):
        if not isinstance(content, (str, bytes)):
            content = ''.join(json.dumps(entry) + '\n' for entry in content)
        path = tmp_path / 'data.jsonl'
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        settings = {'text_mode': 'select_first', 'data_prefix': {'img_path': 'images'}, 'serialize_data': False}
        return JsonLinesDataset(data_root=str(tmp_path), ann_file='data.jsonl', **{**settings, **kwargs})

    return load


def masks(item, key='gt_masks', size=(6, 8)):
    return LoadMasks().transform({**item, 'height': size[0], 'width': size[1]})[key].to_ndarray().astype(bool)


@pytest.mark.parametrize(
    ('forms', 'expected'),
    [
        ({'polygons': POLYGONS}, BITMAP),
        ({'polygons': [*POLYGONS, [6, 4, 8, 4, 8, 6, 6, 6]]}, BITMAP | CORNER),
        ({'rle': RUNS}, CORNER),
        ({'rle': encode_masks(BITMAP[None])[0]}, BITMAP),
        ({'png': 'stripe.png'}, STRIPE),
        ({'polygons': POLYGONS, 'rle': RUNS}, BITMAP | CORNER),
        ({'polygons': POLYGONS, 'png': 'stripe.png'}, BITMAP | STRIPE),
        ({'rle': RUNS, 'png': 'stripe.png'}, CORNER | STRIPE),
        ({'polygons': POLYGONS, 'rle': RUNS, 'png': 'stripe.png', 'no_target': False}, BITMAP | CORNER | STRIPE),
        ({'no_target': True}, np.zeros_like(BITMAP)),
    ],
    ids=lambda value: '+'.join(value) if isinstance(value, dict) else '',
)
def test_every_form_of_a_mask(load, forms, expected):
    (found,) = masks(load([line({'phrase': 'it', **forms})]).get_data_info(0))
    assert np.array_equal(found, expected)
    if not forms.get('no_target'):  # a form of what is ignored, too
        ignore = {key: value for key, value in forms.items() if key != 'no_target'}
        item = load([line({**SQUARE, 'ignore': ignore}, SQUARE)]).get_data_info(0)
        found, none = masks(item, 'ignore_masks')
        assert np.array_equal(found, expected)
        assert not none.any()


def test_an_item_says_all_that_a_line_says(load, tmp_path):
    phrase = {**SQUARE, 'phrase': ['The square', 'it'], 'kind': ['name', 'pronoun'], 'thing': True, 'plural': False}
    entry = line(phrase, {'phrase': 'a dog', 'no_target': True, 'kind': 'absent'}, id=7, split='val')

    item = load([entry], text_mode='original', split='val').get_data_info(0)

    whose = f"of line 1 of ann_file '{tmp_path}/data.jsonl'"
    instance = {'mask': POLYGONS, 'ignore': None, 'ann_id': f'phrase 1 {whose}', 'ignore_flag': 0}
    assert item == {
        'img_path': str(tmp_path / 'images' / 'cats.jpg'),
        'img_id': 7,
        'annotated_size': (6, 8),
        'dataset_name': 'val',
        'text': ['The square', 'it', 'a dog'],
        'phrase_infos': [
            PhraseInfo(kind='name', thing=True, plural=False),
            PhraseInfo(kind='pronoun', thing=True, plural=False),
            PhraseInfo(kind='absent'),
        ],
        'instances': [instance, instance, {**instance, 'mask': None, 'ann_id': f'phrase 2 {whose}'}],
        'sample_idx': 0,
    }


def test_splits_and_names(load):
    lines = [line(SQUARE, image=f'{split}.jpg', split=split) for split in ('train', 'val', 'train')]
    lines[2]['image'] = 'other.jpg'

    assert [item['img_id'] for item in load(lines, split='train')] == ['train.jpg', 'other.jpg']
    assert len(load(lines)) == 3
    assert load(lines).name == 'data'
    assert load(lines, split='val').name == 'val'
    assert load(lines, split='val', name='mine_val').name == 'mine_val'


def test_sizes_need_not_be_known(load):
    entry = line(SQUARE)
    del entry['height'], entry['width']
    item = load([entry]).get_data_info(0)
    assert 'annotated_size' not in item
    assert np.array_equal(masks(item)[0], BITMAP)
    assert masks(item, size=(10, 20)).sum() == 12

    entry['phrases'].append({'phrase': 'corner', 'rle': RUNS})  # which knows it
    assert load([entry]).get_data_info(0)['annotated_size'] == (6, 8)


def test_of_masks_of_unknown_size_the_line_is_named_when_they_are_drawn(load):
    entry = line(SQUARE, {'phrase': 'it', 'polygons': [[20, 20, 30, 20, 30, 30]]})
    del entry['height'], entry['width']
    with pytest.raises(
        ValueError, match=r"mask 1 \(annotation phrase 2 of line 1 of ann_file '.*data\.jsonl'\) of ima"
    ):
        masks(load([entry]).get_data_info(0))


def test_masks_in_files_have_a_folder_of_their_own(load, tmp_path):
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'stripe.png').rename(tmp_path / 'masks' / 'stripe.png')
    entry = line({'phrase': 'it', 'png': 'stripe.png'})
    item = load([entry], data_prefix={'img_path': 'images', 'mask_path': 'masks'}).get_data_info(0)
    assert np.array_equal(masks(item)[0], STRIPE)

    with pytest.raises(ValueError, match=r'mask 0 \(annotation phrase 1 of line 1 .* which does not exist'):
        masks(load([entry]).get_data_info(0))


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('line_end', ['\n', '\r\n', '\n\n', '\r\n \r\n'])
def test_byte_order_marks_line_ends_and_empty_lines(load, encoding, line_end):
    lines = [line({**SQUARE, 'phrase': 'das größte Viereck'}), line(SQUARE, image='b.jpg')]
    text = line_end.join(json.dumps(entry, ensure_ascii=False) for entry in lines)
    dataset = load((text + line_end).encode(encoding))
    assert [item['text'] for item in dataset] == [['das größte Viereck'], ['the square']]


def test_lines_of_one_image_are_told_apart_by_id(load):
    dataset = load([line(SQUARE, id=1), line(SQUARE, id='2')])
    assert [item['img_id'] for item in dataset] == [1, '2']


def test_what_draws_nothing_or_lies_outside_is_said(load, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # it does not hand on to the root logger
    stray = {'phrase': 'it', 'polygons': [*POLYGONS, [3, 3, 3, 3, 3, 3]]}
    half = {'phrase': 'half', 'polygons': [[0, 0, 16, 0, 16, 6, 0, 6]], 'rle': RUNS}
    item = load([line(stray, half)]).get_data_info(0)
    logger.removeHandler(caplog.handler)

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(r"data: left out 1 polygons that draw nothing of '.*data\.jsonl'", first)
    assert re.match(r"data: of 1 masks of '.*' more than 10% lies outside .* \"phrase 2 of line 1 of .*\" 50%", second)
    assert item['instances'][0]['mask'] == POLYGONS


def test_configs_build_it(tmp_path):
    (tmp_path / 'data.jsonl').write_text(json.dumps(line(SQUARE)))
    config = {'type': 'JsonLinesDataset', 'data_root': str(tmp_path), 'ann_file': 'data.jsonl'}
    assert DATASETS.build(config).get_data_info(0)['img_path'] == str(tmp_path / 'cats.jpg')


WHOLE = json.dumps(line(SQUARE))
LINE, PHRASE = 'line 2 of ann_file {path}', 'phrase 1 of line 2 of ann_file {path}'


def phrase(**entry):
    return line({'phrase': 'it', **entry})


@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        (WHOLE[:40], f'{LINE} is not JSON (Unterminated string'),
        (WHOLE + WHOLE, f'{LINE} is not JSON (Extra data'),
        (WHOLE.replace('6, 1', 'NaN, 1'), f'{LINE} is not JSON (NaN at phrases[0].polygons[0][2]); mend that'),
        (WHOLE.replace('}', ', "image": "b.jpg"}'), f"{LINE} has an object with the key 'image' twice"),
        (WHOLE.replace('{"phrase"', '{"phrase": 1, "phrase"'), f"{LINE} has an object with the key 'phrase' twice"),
        (f'[{WHOLE}]', f"{LINE} is [{{'height': 6, 'image': 'cats.jpg', "),
        (line(SQUARE, Image='b.jpg'), f"{LINE} has the unknown key 'Image'; did you mean 'image'?"),
        ({'Image': 'a.jpg', 'phrases': [SQUARE]}, f"{LINE} has the unknown key 'Image'; did you mean 'image'?"),
        (line(SQUARE, heigth=6), f"{LINE} has the unknown key 'heigth'; did you mean 'height'?"),
        (line(SQUARE, zebra=6), f"{LINE} has the unknown key 'zebra'; known are image, id, height, width, split, phr"),
        ({'phrases': [SQUARE]}, f"{LINE} has no 'image'; add it"),
        ({'image': 'a.jpg'}, f"{LINE} has no 'phrases'; add it"),
        (line(SQUARE, image=7), f'{LINE} has image 7, expected the path of a picture below the image folder'),
        (line(SQUARE, image='../a.jpg'), f"{LINE}, key 'image': path '../a.jpg' is absolute or goes up by"),
        (line(SQUARE, height=0), f'{LINE} has height 0, expected an integer above 0, in px'),
        (line(SQUARE, width=8.0), f'{LINE} has width 8.0, expected an integer above 0, in px'),
        (line(SQUARE, width='8'), f"{LINE} has width '8', expected an integer above 0, in px"),
        (line(SQUARE, width=None), f'{LINE} has only one of height and width; give both, or neither'),
        (line(SQUARE, id=1.0), f'{LINE} has id 1.0, expected an integer or a string'),
        (line(SQUARE, split=['val']), f"{LINE} has split ['val'], expected a string such as 'train'"),
        (line(SQUARE, phrases={}), f'{LINE} has phrases {{}}, expected a list of objects'),
        (line(), f'{LINE} has no phrase; leave the image out'),
        (line('the square'), f"{PHRASE} is 'the square', expected an object with the keys phrase and polygons, rle"),
        (phrase(polygon=POLYGONS), f"{PHRASE} has the unknown key 'polygon'; did you mean 'polygons'?"),
        (phrase(RLE=RUNS), f"{PHRASE} has the unknown key 'RLE'; did you mean 'rle'?"),
        (line({'polygons': POLYGONS}), f"{PHRASE} has no 'phrase'; add it"),
        (line({**SQUARE, 'phrase': []}), f'{PHRASE} has phrase [], expected a string, or several in a list'),
        (line({**SQUARE, 'phrase': 7}), f'{PHRASE} has phrase 7, expected a string, or several in a list'),
        (line({**SQUARE, 'phrase': ['a', ' ?']}), f"{PHRASE}: phrase ' ?' has no letter or digit; fill it or leave it"),
        (line({**SQUARE, 'phrase': ['a', 7]}), f'{PHRASE}: phrase 7 is of type int, expected a string'),
        (phrase(), f'{PHRASE} has no mask; give polygons, rle or png, or "no_target": true if the image does not'),
        (phrase(no_target=False), f'{PHRASE} has no mask; give polygons, rle or png'),
        (phrase(no_target='yes'), f"{PHRASE} has no_target 'yes', expected true or false"),
        (phrase(no_target=True, rle=RUNS), f'{PHRASE} has no_target and rle; leave out what is wrong'),
        (
            phrase(polygons=RUNS),
            f"{PHRASE} has polygons {{'counts': [40, 2, 4, 2], 'size': [6, 8]}}, expected a list of",
        ),
        (phrase(polygons=[]), f'{PHRASE}: polygons is [], expected polygons or an RLE; expected a list of polygons'),
        (phrase(polygons=POLYGONS[0]), f'{PHRASE}: polygons is [2, 1, 6, 1, 6, 4, ...], expected polygons or an RLE'),
        (
            phrase(polygons=[[2, 1], [6, 1], [6, 4]]),
            f'{PHRASE}: polygons has a polygon of fewer than three points or an odd number of coordinates; it is empty '
            '(0 px); expected a list of polygons, each a list [x, y, x, y, ...] in px',
        ),
        (
            phrase(polygons=[[0.2, 0.1, 0.7, 0.1, 0.7, 0.6]]),
            f'{PHRASE}: polygons has a polygon in coordinates of 0 to 1',
        ),
        (phrase(polygons=[[9, 9, 12, 9, 12, 12]]), f'{PHRASE}: polygons has a polygon outside the image of 6x8 px'),
        (phrase(polygons=[[2, 1, '6', 1, 6, 4]]), f"{PHRASE}: polygons has a polygon with the coordinate '6'"),
        (phrase(rle=POLYGONS), f"{PHRASE} has rle [[2, 1, 6, 1, 6, 4, ...]], expected COCO's RLE, an object with size"),
        (phrase(rle=None), f"{PHRASE} has rle None, expected COCO's RLE"),
        (
            phrase(rle={'counts': [48]}),
            f"{PHRASE} has rle {{'counts': [48]}}, expected COCO's RLE, an object with size",
        ),
        (phrase(rle={**RUNS, 'size': [8, 6]}), f'{PHRASE}: rle has size [8, 6], the image has [6, 8]'),
        (phrase(rle={'size': [6, 8]}), f'{PHRASE}: rle is an RLE without size or counts'),
        (phrase(rle={'size': [6, 8], 'counts': [48]}), f'{PHRASE}: rle is an RLE of background alone; it is empty'),
        (phrase(png=['a.png']), f"{PHRASE} has png ['a.png'], expected the path of a PNG file"),
        (phrase(png='/a.png'), f"{PHRASE}, key 'png': path '/a.png' is absolute or goes up by"),
        (
            line({**SQUARE, 'ignore': POLYGONS}),
            f'{PHRASE} has ignore [[2, 1, 6, 1, 6, 4, ...]], expected an object with',
        ),
        (line({**SQUARE, 'ignore': {}}), f'{PHRASE} has ignore {{}}, expected an object with polygons, rle or png'),
        (line({**SQUARE, 'ignore': {'mask': 1}}), f"ignore of {PHRASE} has the unknown key 'mask'; known are polygons"),
        (line({**SQUARE, 'ignore': {'rle': 1}}), f"ignore of {PHRASE} has rle 1, expected COCO's RLE"),
        (line({**SQUARE, 'ignore': {'polygons': [[1]]}}), f'ignore of {PHRASE}: polygons has a polygon of fewer than'),
        (line({**SQUARE, 'kind': 3}), f"{PHRASE} has kind 3, expected a string such as 'colour'"),
        (line({**SQUARE, 'kind': ['a', 'b']}), f'{PHRASE} has 2 kinds for 1 strings of phrase; give one each, or one'),
        (line({**SQUARE, 'thing': 1}), f'{PHRASE} has thing 1, expected true or false'),
        (line({**SQUARE, 'plural': 'no'}), f"{PHRASE} has plural 'no', expected true or false"),
        (
            line(SQUARE, image='./first.jpg'),
            f"{LINE} has the image './first.jpg', as line 1 of ann_file {{path}} has; put all of its phrases into one",
        ),
        (
            line(SQUARE, image='first.jpg', id=3),
            f"{LINE} has the image 'first.jpg', as line 1 of ann_file {{path}} has",
        ),
    ],
    ids=lambda value: re.sub(r'.*\{path\}', '', value)[:50] if isinstance(value, str) else '',
)
def test_broken_line_is_named(load, tmp_path, broken, message):
    text = broken if isinstance(broken, str) else json.dumps(broken)
    good = json.dumps(line(SQUARE, image='first.jpg'))
    expected = message.replace('{path}', repr(str(tmp_path / 'data.jsonl')))
    with pytest.raises(ValueError, match=f'^{re.escape(expected)}'):
        load(f'{good}\n{text}\n{good.replace("first", "last")}\n')


def test_lines_without_split_and_splits_without_lines_are_refused(load):
    lines = [line(SQUARE, split='train'), line(SQUARE, image='b.jpg')]
    with pytest.raises(ValueError, match=r"line 2 of ann_file '.*' has no split, and 'train' is asked for; add it"):
        load(lines, split='train')
    with pytest.raises(
        ValueError, match=r"ann_file '.*' has no line of split 'val', but of \['train'\]; check ann_file"
    ):
        load(lines[:1], split='val')
    with pytest.raises(ValueError, match=r"ann_file '.*' has no line; check ann_file and split"):
        load('\n\n')


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"ann_file '.*data\.jsonl' does not exist"):
        JsonLinesDataset(data_root=str(tmp_path), ann_file='data.jsonl')


def test_a_link_out_of_the_folder_needs_leave(load, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'cats.jpg').symlink_to(tmp_path / 'cats.jpg')
    with pytest.raises(ValueError, match=r"line 1 of .*, key 'image': path 'cats\.jpg' leads out of .* through a link"):
        load([line(SQUARE)])
    assert len(load([line(SQUARE)], allow_outside=True)) == 1
