"""LoadMasks, against bitmaps drawn here and pycocotools."""

import json
import re

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from flmm.datasets import LoadMasks

BITMAP = np.zeros((6, 8), dtype=np.uint8)
BITMAP[1:4, 2:6] = 1
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]
"""A polygon of BITMAP."""


def decode(masks, *, height=6, width=8, rescale=False, **extra):
    results = {
        'instances': [{'mask': mask, 'ann_id': 40 + index, 'ignore_flag': 0} for index, mask in enumerate(masks)],
        'height': height,
        'width': width,
        'ori_shape': (height, width),
        'img_path': 'cats.jpg',
        **extra,
    }
    return LoadMasks(rescale=rescale).transform(results)['gt_masks'].to_ndarray()


def test_kinds_mix_and_keep_their_order():
    full = {'size': [6, 8], 'counts': [0, 48]}

    masks = decode([{'size': [6, 8], 'counts': [0, 1, 47]}, [SQUARE], full])

    assert masks.dtype == np.uint8
    assert np.argwhere(masks[0]).tolist() == [[0, 0]]
    assert np.array_equal(masks[1], BITMAP)
    assert masks[2].all()


def test_a_union_is_of_masks_of_any_form(tmp_path):
    path = str(tmp_path / 'a.png')
    Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(path)
    corner = {'size': [6, 8], 'counts': [0, 1, 47]}

    (mask,) = decode([{'union': [{'png': path}, corner, {'union': [[SQUARE], corner]}]}])

    expected = BITMAP | np.eye(6, 8, dtype=np.uint8)
    expected[0, 0] = 1
    assert np.array_equal(mask, expected)
    with pytest.raises(ValueError, match=r'is an RLE of background alone; it is empty'):
        decode([{'union': [[SQUARE], {'size': [6, 8], 'counts': [48]}]}])


def test_no_instances_give_no_masks():
    assert decode([]).shape == (0, 6, 8)


@pytest.mark.parametrize(
    ('mask', 'problem'),
    [
        ([], 'is [], expected polygons or an RLE'),
        ({'size': [8, 6], 'counts': [48]}, 'has size [8, 6], the image has [6, 8]'),
        (
            [[9, 9, 12, 9, 12, 12]],
            'has a polygon outside the image of 6x8 px (x from 9 to 12, y from 9 to 12); it is empty',
        ),
    ],
)
def test_mistaken_mask_is_refused_by_number_annotation_and_image(mask, problem):
    with pytest.raises(ValueError, match=re.escape(f"mask 1 (annotation 41) of image 'cats.jpg' {problem}")):
        decode([[SQUARE], mask])


def test_stray_polygons_are_left_out_with_a_line_in_the_log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # it does not hand on to the root logger

    masks = decode([[[1, 1], SQUARE, [7, 7, 7, 7, 7, 7]]])

    logger.removeHandler(caplog.handler)
    assert np.array_equal(masks[0], BITMAP)
    assert caplog.records[-1].getMessage() == (
        "mask 0 (annotation 40) of image 'cats.jpg': left out 2 polygons of 3, which draw nothing"
    )


@pytest.mark.parametrize(
    ('picture', 'annotated', 'problem'),
    [
        ((3, 4), (6, 8), '; take the picture that was annotated, or set LoadMasks(rescale=True)'),
        ((7, 8), (6, 8), '; take the picture that was annotated, or set LoadMasks(rescale=True)'),
        ((6, 16), (6, 8), ', another shape; take the picture that was annotated'),
        (
            (8, 6),
            (6, 8),
            ', another shape; take the picture that was annotated, with the EXIF orientation of the annot',
        ),
        ((101, 100), (100, 101), ', another shape; take the picture that was annotated, with the EXIF orientation'),
    ],
)
def test_picture_of_another_size_is_refused(picture, annotated, problem):
    (height, width), (annotated_height, annotated_width) = picture, annotated
    message = (
        f"image 'cats.jpg' has {height}x{width} px (height x width), its annotation was made on "
        f'{annotated_height}x{annotated_width}{problem}'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        decode([[SQUARE]], height=height, width=width, annotated_size=annotated)
    if 'another shape' in problem:
        with pytest.raises(ValueError, match=re.escape(message)):
            decode([[SQUARE]], height=height, width=width, annotated_size=annotated, rescale=True)


def pixel_under_each_centre(masks, height, width):
    """The source pixel under the centre of each target pixel, in whole numbers."""
    source_height, source_width = masks.shape[-2:]
    rows = [(2 * row + 1) * source_height // (2 * height) for row in range(height)]
    columns = [(2 * column + 1) * source_width // (2 * width) for column in range(width)]
    return masks[:, rows][:, :, columns]


@pytest.mark.parametrize('size', [(60, 80), (6, 8), (3, 4), (5, 7), (299, 400)])
def test_rescaled_masks_take_the_pixel_under_each_centre(size):
    rle = {'size': [6, 8], 'counts': [0, 3, 20, 9, 16]}

    masks = decode([[SQUARE], rle], height=size[0], width=size[1], annotated_size=(6, 8), rescale=True)

    expected = pixel_under_each_centre(decode([[SQUARE], rle]), *size)
    assert np.array_equal(masks, expected)


def test_mask_that_vanishes_when_rescaled_is_refused():
    rle = {'size': [600, 800], 'counts': [0, 1, 479999]}
    with pytest.raises(ValueError, match=r"mask 0 \(annotation 40\) of image 'cats.jpg' is empty \(0 px\) at 6x8 px"):
        decode([rle], annotated_size=(600, 800), rescale=True)


def test_polygons_of_coco_decode_to_their_area(coco_mini):
    with open(f'{coco_mini["data_root"]}/{coco_mini["ann_file"]}') as file:
        annotations = json.load(file)['annotations']

    masks = decode([annotation['segmentation'] for annotation in annotations], height=480, width=640)

    areas = np.array([annotation['area'] for annotation in annotations])  # of the polygons, not of the pixels
    assert masks.shape == (6, 480, 640)
    np.testing.assert_allclose(masks.sum(axis=(1, 2)), areas, rtol=0.03)


def test_no_target_is_an_empty_mask():
    assert decode([None, [SQUARE]]).any(axis=(1, 2)).tolist() == [False, True]


def test_what_is_ignored_comes_beside_the_masks():
    instances = [
        {'mask': [SQUARE], 'ignore': {'size': [6, 8], 'counts': [40, 8]}, 'ann_id': 1, 'ignore_flag': 0},
        {'mask': [SQUARE], 'ignore': None, 'ann_id': 2, 'ignore_flag': 0},
    ]

    results = LoadMasks().transform({'instances': instances, 'height': 6, 'width': 8, 'img_path': 'cats.jpg'})

    ignored = results['ignore_masks'].to_ndarray()
    assert np.argwhere(ignored[0]).tolist() == [
        [row, column] for row in range(6) for column in (6, 7) if 6 * column + row >= 40
    ]
    assert not ignored[1].any()
    assert np.array_equal(results['gt_masks'].to_ndarray()[0], BITMAP)


def test_a_mask_that_is_ignored_is_named():
    instances = [{'mask': [SQUARE], 'ignore': [], 'ann_id': 1}, {'mask': [SQUARE], 'ignore': [[0, 0]], 'ann_id': 2}]

    with pytest.raises(ValueError, match=re.escape("ignore 0 (annotation 1) of image 'cats.jpg' is []")):
        LoadMasks().transform({'instances': instances, 'height': 6, 'width': 8, 'img_path': 'cats.jpg'})


def test_a_mask_in_a_file_must_have_the_size_of_the_image(tmp_path):
    path = str(tmp_path / 'mask.png')
    Image.fromarray(BITMAP).save(path)

    assert np.array_equal(decode([{'png': path}])[0], BITMAP)
    assert decode([{'png': path}], height=3, width=4, annotated_size=(6, 8), rescale=True).shape == (1, 3, 4)
    with pytest.raises(ValueError, match=re.escape('lies in a file of 6x8 px (height x width), its image has 5x8')):
        decode([{'png': path}], height=5)


def test_what_is_ignored_is_rescaled_too_and_may_vanish():
    dot = {'size': [6, 8], 'counts': [0, 1, 47]}
    halves = {'union': [{'size': [6, 8], 'counts': [0, 12, 36]}, [[4, 0, 8, 0, 8, 6, 4, 6]]]}
    for ignore, columns in ((dot, []), (halves, [0, 2, 3])):
        results = {
            'instances': [{'mask': [SQUARE], 'ignore': ignore}, {'mask': None, 'ignore': None}],
            'height': 3,
            'width': 4,
            'annotated_size': (6, 8),
            'img_path': 'cats.jpg',
        }
        found = LoadMasks(rescale=True).transform(results)['ignore_masks'].to_ndarray()
        assert np.flatnonzero(found[0].all(axis=0)).tolist() == columns
        assert found[0].sum() == 3 * len(columns)
        assert not found[1].any()
    with pytest.raises(ValueError, match=r"mask 0 .* of image 'cats.jpg' is empty \(0 px\) at 3x4 px"):
        decode([dot], height=3, width=4, annotated_size=(6, 8), rescale=True)
