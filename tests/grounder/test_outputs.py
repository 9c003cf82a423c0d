"""What was found, as boxes, logits, dicts, files and pictures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.ops import box_convert, masks_to_boxes

from flmm.grounder import Grounding
from flmm.mask_logits import MaskLogits
from flmm.visualization.mask_layer import OPACITY, PALETTE

PHRASES = ['the red circle', '../star', 'a dot', 'nothing']


def logits():
    """Of a blob, a whole image, a single pixel and nothing; the first two overlap."""
    found = torch.full((4, 40, 60), -1.0)
    found[0, 5:30, 10:45] = 2
    found[0, 5, 10] = -1
    found[1] = 0.5
    found[2, 39, 59] = 1
    return found


def grounding(**kwargs):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    settings = {
        'image': Image.fromarray(pixels),
        'phrases': PHRASES,
        'coarse': MaskLogits.from_image(-logits()),
        'refined': MaskLogits.from_image(logits()),
        'scores': torch.tensor([0.5, 0.25, 1.0, 0.0]),
        'name': 'photo.jpg',
    }
    return Grounding(**{**settings, **kwargs})


JUDGED = {'existence': torch.tensor([0.75, 0.25, 0.5, 1.0]), 'exists': torch.tensor([True, False, True, True])}


def test_boxes_are_edges():
    """torchvision's name the last pixel; one more is an edge."""
    found = grounding()
    expected = masks_to_boxes(found.masks[:3]) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(found.boxes, torch.cat([expected, torch.zeros(1, 4)]))
    assert found.boxes[1].tolist() == [0, 0, 60, 40]
    assert found.boxes[2].tolist() == [59, 39, 60, 40]
    left, top, right, bottom = found.boxes[0].int().tolist()
    cut = Image.fromarray(found.masks[0].numpy()).crop((left, top, right, bottom))
    assert cut.size == (35, 25)
    assert np.asarray(cut).sum() == found.masks[0].sum()
    assert grounding(**JUDGED).boxes[1].tolist() == [0, 0, 0, 0]


def test_logits_are_those_behind_the_masks():
    found = grounding(**JUDGED)
    assert torch.equal(found.logits(), logits())
    assert torch.equal(found.logits(coarse=True), -logits())
    halves = grounding(refined=MaskLogits.from_image(logits().half()))
    assert halves.logits().dtype == torch.float32
    small = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))
    upscaled = MaskLogits(
        small=small, image_size=(40, 60), to_image=lambda part: part.repeat_interleave(8, 1).repeat_interleave(10, 2)
    )
    assert torch.equal(grounding(refined=upscaled).logits()[2], small[2].kron(torch.ones(8, 10)))


def decoded(row):
    return coco_mask.decode(row['segmentation']).astype(bool)


def test_a_dict_without_a_verdict():
    found = grounding()
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    rows = document.pop('phrases')
    assert document == {'image': 'photo.jpg', 'width': 60, 'height': 40}
    assert [row['phrase'] for row in rows] == PHRASES
    assert [row['score'] for row in rows] == [0.5, 0.25, 1.0, 0.0]
    assert [row['area'] for row in rows] == [25 * 35 - 1, 2400, 1, None]
    for row, mask, box in zip(rows[:3], found.masks, box_convert(found.boxes, 'xyxy', 'xywh'), strict=False):
        np.testing.assert_array_equal(decoded(row), mask)
        assert row['bbox'] == box.tolist()
    assert rows[3]['bbox'] is rows[3]['segmentation'] is None
    assert {row['exists'] for row in rows} == {row['existence'] for row in rows} == {None}


def test_a_dict_with_a_verdict():
    rows = grounding(**JUDGED).to_dict()['phrases']
    assert [row['exists'] for row in rows] == [True, False, True, True]
    assert [row['existence'] for row in rows] == [0.75, 0.25, 0.5, 1.0]
    assert rows[1]['area'] is rows[1]['bbox'] is rows[1]['segmentation'] is None
    # there, though its mask has no pixel
    assert (rows[3]['area'], rows[3]['bbox']) == (0, None)
    assert decoded(rows[3]).sum() == 0
    np.testing.assert_array_equal(decoded(rows[0]), logits()[0] > 0)


def test_masks_as_files(tmp_path):
    found = grounding(**JUDGED)
    paths = found.save_png(tmp_path / 'made' / 'masks')
    names = ['1_the red circle.png', '2_%2E.%2Fstar.png', '3_a dot.png', '4_nothing.png']
    assert paths == [tmp_path / 'made' / 'masks' / name for name in names]
    for path, mask in zip(paths, found.masks, strict=True):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ('PNG', '1')
            np.testing.assert_array_equal(np.asarray(image), mask)
    assert not found.masks[1].any()


def test_files_are_in_the_order_of_the_phrases(tmp_path):
    many = {'refined': MaskLogits.from_image(logits()[[0] * 10]), 'scores': torch.ones(10), 'phrases': ['x'] * 10}
    paths = grounding(**many).save_png(tmp_path)
    assert sorted(paths) == paths
    assert [path.name for path in paths[::9]] == ['01_x.png', '10_x.png']


def test_masks_of_an_earlier_call_are_not_mixed_with_new_ones(tmp_path):
    grounding().save_png(tmp_path)
    (tmp_path / 'photo.png').write_bytes(b'mine')
    fewer = {'refined': MaskLogits.from_image(logits()[:1]), 'scores': torch.ones(1), 'phrases': ['x']}
    with pytest.raises(
        ValueError, match=r"has masks already, such as '1_the red circle\.png'; choose another, or set ov"
    ):
        grounding(**fewer).save_png(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    grounding(**fewer).save_png(tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['1_x.png', 'photo.png']


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match=r"folder '.*file' cannot be made \(.*File exists.*\); choose another"):
        grounding().save_png(tmp_path / 'file')


def test_an_overlay_shows_the_masks_that_are_there():
    found = grounding(**JUDGED)  # the mask of the whole image is judged absent
    picture = np.asarray(found.overlay())[:40, :60]
    pixels = np.asarray(found.image)
    tinted = (1 - OPACITY) * pixels + OPACITY * np.array(PALETTE[0])
    np.testing.assert_allclose(picture[27, 12:43], tinted[27, 12:43], atol=1)
    np.testing.assert_array_equal(picture[:5, :55], pixels[:5, :55])
