"""PanopticFile: what it says of an image, and files that are not what they should be."""

import copy
import json
import re

import pytest

from flmm.datasets.panoptic_file import PanopticFile, PanopticImage, to_number

CONTENT = {
    'images': [{'id': 5, 'file_name': 'five.jpg', 'height': 4, 'width': 6}, {'id': 6, 'file_name': 'six.jpg'}],
    'annotations': [
        {'image_id': 6, 'file_name': 'six.png', 'segments_info': []},
        {
            'image_id': 5,
            'file_name': 'five.png',
            'segments_info': [{'id': 7, 'category_id': 'cat'}, {'id': '300', 'category_id': 2}],
        },
    ],
    'categories': [{'id': 'cat', 'isthing': 1}, {'id': 2, 'isthing': 0, 'name': 'sky'}],
}
FILE = "panoptic_file '{path}'"
OF_5 = f"entry of image 5 in 'annotations' of {FILE}"
BROKEN = {
    'no dict': ([], f"{FILE} has no 'images', 'annotations', 'categories'; expected COCO's panoptic_*.json"),
    'no categories': (['categories', ...], f"{FILE} has no 'images', 'annotations', 'categories'"),
    'images a dict': (['images', {}], f"'images' of {FILE} is {{}}, expected a list of dicts"),
    'image without id': (['images', 0, 'id', ...], f"entry 0 of 'images' of {FILE} lacks ['id']"),
    'image twice': (
        ['images', 1, 'id', '5'],
        f"'images' of {FILE} has id 5 and '5' twice: entry 0 (file_name 'five.jpg') and entry 1 (file_name 'six.jpg')",
    ),
    'annotation twice': (
        ['annotations', 0, 'image_id', 5],
        f"'annotations' of {FILE} has image_id 5 twice: entry 0 (file_name 'six.png') and entry 1",
    ),
    'category twice': (['categories', 1, 'id', 'cat'], f"'categories' of {FILE} has id 'cat' twice"),
    'isthing absent': (['categories', 1, 'isthing', ...], f'category 2 of {FILE} has isthing None, expected 0 (stuff)'),
    'isthing a word': (
        ['categories', 1, 'isthing', 'no'],
        f"category 2 of {FILE} has isthing 'no', expected 0 (stuff)",
    ),
    'no image': (['images', 0, 'id', 8], f"it has image_id '5', which 'images' of {FILE} does not have; take both"),
    'no annotation': (
        ['annotations', 1, 'image_id', 8],
        f"it has image_id '5', which 'annotations' of {FILE} does not have; take both files of the same release",
    ),
    'no file_name': (['images', 0, 'file_name', ...], f"image 5 of {FILE} lacks ['file_name']"),
    'height of 0': (['images', 0, 'height', 0], f"image 5 of {FILE} ('five.jpg') has height 0, expected an integer"),
    'no picture': (['annotations', 1, 'file_name', ...], f"{OF_5} lacks ['file_name']"),
    'no segments': (['annotations', 1, 'segments_info', ...], f"{OF_5} lacks ['segments_info']"),
    'segments a dict': (['annotations', 1, 'segments_info', {}], f'{OF_5} has segments_info {{}}, expected a list'),
    'segment a number': (['annotations', 1, 'segments_info', 0, 7], f'segment 0 of the {OF_5} is 7, expected a dict'),
    'segment twice': (
        ['annotations', 1, 'segments_info', 1, 'id', '7'],
        f'{OF_5} has segment 7 twice; remove one, or get the original file again',
    ),
    'void': (
        ['annotations', 1, 'segments_info', 0, 'id', 0],
        f'segment 0 of the {OF_5} has id 0, expected a colour, R + 256 G + 65536 B, that is not 0',
    ),
    'no colour': (
        ['annotations', 1, 'segments_info', 0, 'id', 256**3],
        f'segment 0 of the {OF_5} has id 16777216, expected a colour',
    ),
    'unknown category': (
        ['annotations', 1, 'segments_info', 1, 'category_id', 3],
        f"segment 1 of the {OF_5} has category_id 3, which is none of 'categories'; mend it, or get",
    ),
}


def load(tmp_path, content):
    path = tmp_path / 'panoptic.json'
    path.write_text(json.dumps(content))
    return PanopticFile(str(path))


@pytest.mark.parametrize('image_id', [5, '5', '0005'])
def test_what_it_says_of_an_image(tmp_path, image_id):
    found = load(tmp_path, CONTENT)

    assert found.image(image_id, where='it') == PanopticImage(
        file_name='five.jpg', picture_name='five.png', size=(4, 6), things={7: True, 300: False}
    )
    assert found.image(6, where='it').size is None


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_files_are_named(tmp_path, kind):
    change, message = BROKEN[kind]
    content = copy.deepcopy(CONTENT)
    if change:
        *above, key, value = change
        place = content
        for step in above:
            place = place[step]
        if value is ...:
            del place[key]
        else:
            place[key] = value
    with pytest.raises(ValueError, match=re.escape(message.replace('{path}', str(tmp_path / 'panoptic.json')))):
        load(tmp_path, content if change else []).image('5', where='it')


@pytest.mark.parametrize('value', ['', ' 5', '5.0', '-5', '٣', True, None, 5.0, [5]])
def test_what_is_no_number(value):
    assert to_number(value) is None
