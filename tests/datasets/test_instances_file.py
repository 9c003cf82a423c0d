"""load_instances on files that are not what they should be. Fields and ids: test_refcoco.py."""

import json

import pytest

from flmm.datasets.instances_file import check_annotation, load_instances

INSTANCES = {'images': [{'id': 3, 'file_name': 'a.jpg'}], 'annotations': [{'id': 30, 'image_id': 3}]}


def load(tmp_path, content):
    (tmp_path / 'instances.json').write_bytes(content)
    return load_instances(str(tmp_path / 'instances.json'))


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_images_and_annotations_by_id(tmp_path, encoding):
    images, annotations = load(tmp_path, json.dumps(INSTANCES).encode(encoding))
    assert images == {3: {'id': 3, 'file_name': 'a.jpg'}}
    assert annotations == {30: {'id': 30, 'image_id': 3}}


@pytest.mark.parametrize(
    'content',
    [b'', b'{"images": [', b'\x80\x02]q\x00.', b'\xff\xfe\xff', b'[' * 100_000, b'{"images": [' + b'1' * 5000 + b']}'],
    ids=['empty', 'cut off', 'pickle', 'binary', 'nested', 'number of 5000 digits'],
)
def test_what_is_not_json_is_named(tmp_path, content):
    with pytest.raises(
        ValueError,
        match=r"ann_file '.*instances\.json' is not JSON \(.*\); (mend|save) it",
    ):
        load(tmp_path, content)


def test_key_that_is_there_twice_is_refused(tmp_path):
    content = json.dumps(INSTANCES).replace('"image_id": 3', '"image_id": 3, "image_id": 4').encode()
    with pytest.raises(
        ValueError, match=r"has an object with the key 'image_id' twice \(\{'id': 30, 'image_id': 4\}\); JSON"
    ):
        load(tmp_path, content)


def test_size_comes_from_the_rle_where_the_image_has_none():
    rle = {'size': [2, 3], 'counts': [0, 6]}
    image = {'id': 3, 'file_name': 'a.jpg'}

    checked = check_annotation(
        {'id': 30, 'image_id': 3, 'segmentation': rle}, path='instances.json', image=image, size=None
    )

    assert checked == (rle, (2, 3), 0, 0.0)


@pytest.mark.parametrize('size', [None, 6, [2], [2, 0], [2.0, 3], [True, 3], '23'])
def test_size_that_is_none_is_refused(size):
    annotation = {'id': 30, 'image_id': 3, 'segmentation': {'size': size, 'counts': [0, 6]}}
    with pytest.raises(
        ValueError, match=r"annotation 30 of ann_file 'x' \(image 3, 'a\.jpg'\): it is not known how large"
    ):
        check_annotation(annotation, path='x', image={'id': 3, 'file_name': 'a.jpg'}, size=None)
