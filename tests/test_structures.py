"""GroundingSample: how its fields must fit together, and its copies on another device."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.geometry import frame_meta_data
from flmm.structures import FrozenFeatures, GroundingSample

IMAGE_TOKEN = 9
IMAGE_HEIGHT, IMAGE_WIDTH = 50, 90
GRID = (2, 3)  # units: 56 x 84 px, 24 patches, 6 image tokens


def fields(**changes):
    """A valid sample of two phrases, 'left' of two tokens and 'cat' of one, with ``changes``."""
    return {
        'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 6, 2, 3, 4, 5, 6]),
        'mask_ids': torch.tensor([-1] * 8 + [0, 0, -1, 1]),
        'pixel_values': torch.zeros(24, 1176),
        'image_grid_thw': torch.tensor([[1, 4, 6]]),
        'image_token_id': IMAGE_TOKEN,
        'phrases': ['left', 'cat'],
        'masks': torch.zeros(2, 56, 84, dtype=torch.bool),
        'gt_masks': torch.zeros(2, IMAGE_HEIGHT, IMAGE_WIDTH, dtype=torch.bool),
        'image': Image.fromarray(np.zeros((IMAGE_HEIGHT, IMAGE_WIDTH, 3), dtype=np.uint8)),
        'meta_data': frame_meta_data((IMAGE_HEIGHT, IMAGE_WIDTH), (56, 84)),
        'image_path': 'folder/cats.jpg',
        **changes,
    }


def test_valid_sample_knows_its_sizes():
    sample = GroundingSample(**fields(phrase_kinds=['name', 'clause']))

    assert sample.num_masks == 2
    assert sample.grid_size == GRID
    assert (sample.dataset_name, sample.sample_idx) == ('dataset', 0)
    assert sample.mask_attentions is None
    assert sample.pred_masks is None


def test_order_of_phrases_in_the_sequence_is_free():
    sample = GroundingSample(**fields(mask_ids=torch.tensor([-1] * 8 + [1, 1, -1, 0])))

    assert sample.num_masks == 2


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'mask_ids': torch.tensor([0, 1])}, 'mask_ids has shape (2,), expected (12,) (one id for each token)'),
        (
            {'mask_ids': torch.tensor([-1] * 8 + [0, 0, -1, -1])},
            'its phrases have mask ids [0], expected [0, 1] (each phrase needs tokens of its own)',
        ),
        (
            {'mask_ids': torch.tensor([-1] * 8 + [0, 1, 2, 2])},
            'its phrases have mask ids [0, 1, 2], expected [0, 1] (each phrase needs tokens of its own)',
        ),
        (
            {'mask_ids': torch.tensor([-2] * 8 + [0, 0, -1, 1])},
            'its phrases have mask ids [-2, 0, 1], expected [0, 1] (each phrase needs tokens of its own)',
        ),
        ({'image_token_id': 7}, 'its image tokens number 0, expected 6 (its layout of a grid of 2x3 units)'),
        (
            {'input_ids': torch.tensor([IMAGE_TOKEN] * 7 + [2, 3, 4, 5, 6])},
            'its image tokens number 7, expected 6 (its layout of a grid of 2x3 units)',
        ),
        (
            {'pixel_values': torch.zeros(6, 1176)},
            'pixel_values has rows 6, expected 24 (the patches of its layout)',
        ),
        ({'image_grid_thw': torch.tensor([1, 4, 6])}, 'image_grid_thw has shape (3,), expected (1, 3) (one image)'),
        (
            {'image_grid_thw': torch.tensor([[1, 4, 6], [1, 4, 6]])},
            'image_grid_thw has shape (2, 3), expected (1, 3) (one image)',
        ),
        (
            {'image_grid_thw': torch.tensor([[1, 4, 4]])},
            'its image tokens number 6, expected 4 (its layout of a grid of 2x2 units)',
        ),
        (
            {'masks': torch.zeros(2, 84, 56, dtype=torch.bool)},
            'masks has shape (2, 84, 56), expected (2, 56, 84) (a mask each, processed frame)',
        ),
        (
            {'masks': torch.zeros(1, 56, 84, dtype=torch.bool)},
            'masks has shape (1, 56, 84), expected (2, 56, 84) (a mask each, processed frame)',
        ),
        (
            {'gt_masks': torch.zeros(2, 56, 84, dtype=torch.bool)},
            'gt_masks has shape (2, 56, 84), expected (2, 50, 90) (a mask each, image frame)',
        ),
        (
            {'phrase_kinds': ['name']},
            'phrase_kinds number 1, expected 2 (one for each phrase, or None)',
        ),
    ],
)
def test_fields_that_do_not_fit_name_image_found_and_expected(changes, message):
    with pytest.raises(ValueError, match=re.escape(f"image 'folder/cats.jpg': {message}") + '$'):
        GroundingSample(**fields(**changes))


def test_truth_may_be_absent_but_not_by_half():
    assert GroundingSample(**fields(masks=None, gt_masks=None)).gt_masks is None
    for absent, given in (('masks', 'gt_masks'), ('gt_masks', 'masks')):
        message = f"image 'folder/cats.jpg' has {given} but {absent} is None; give both, or None for both"
        with pytest.raises(ValueError, match=re.escape(message)):
            GroundingSample(**fields(**{absent: None}))


def test_a_copy_without_truth_can_be_moved():
    moved = GroundingSample(**fields(masks=None, gt_masks=None)).to('cpu')
    assert moved.masks is moved.gt_masks is None


def test_a_sample_without_phrases_is_refused():
    changes = {'phrases': [], 'mask_ids': torch.full((12,), -1), 'masks': torch.zeros(0, 56, 84, dtype=torch.bool)}

    with pytest.raises(ValueError, match=r"image 'folder/cats\.jpg' has no phrase; leave it out of the dataset"):
        GroundingSample(**fields(**changes))


def test_validate_sees_later_changes():
    sample = GroundingSample(**fields())
    sample.phrases = ['left']

    with pytest.raises(ValueError, match=r'mask ids \[0, 1\], expected \[0\]'):
        sample.validate()


def test_to_moves_every_tensor_and_list_of_tensors_of_a_copy():
    sample = GroundingSample(**fields())
    sample.mask_attentions = torch.zeros(2, 8, *GRID)
    sample.text_embeds = [torch.zeros(2, 4), torch.zeros(1, 4)]

    moved = sample.to('meta')

    tensors = ('input_ids', 'mask_ids', 'pixel_values', 'image_grid_thw', 'masks', 'gt_masks', 'mask_attentions')
    for name in tensors:
        assert getattr(moved, name).device.type == 'meta', name
        assert getattr(moved, name).shape == getattr(sample, name).shape, name
        assert getattr(moved, name).dtype == getattr(sample, name).dtype, name
        assert getattr(sample, name).device.type == 'cpu', name
    assert [(embed.device.type, tuple(embed.shape)) for embed in moved.text_embeds] == [
        ('meta', (2, 4)),
        ('meta', (1, 4)),
    ]
    assert [embed.device.type for embed in sample.text_embeds] == ['cpu', 'cpu']
    assert moved.image is sample.image
    assert moved.phrases == ['left', 'cat']
    assert moved.pred_masks is None


def test_to_moves_carried_features():
    features = FrozenFeatures(
        attentions=torch.zeros(2, 8, *GRID),
        hidden_states=torch.zeros(4, 3, 8),
        image_embedding={'image': torch.zeros(4, 2, 2), 'early': torch.zeros(6, 2, 2)},
    )
    moved = GroundingSample(**fields(features=features)).to('meta')

    assert {moved.features.attentions.device.type, moved.features.hidden_states.device.type} == {'meta'}
    assert {name: part.device.type for name, part in moved.features.image_embedding.items()} == {
        'image': 'meta',
        'early': 'meta',
    }
    assert {part.device.type for part in features.image_embedding.values()} == {'cpu'}


def test_without_a_layout_a_sample_is_dense():
    sample = GroundingSample(**fields())

    assert sample.image_layout.tolist() == [[row, column, 1] for row in range(2) for column in range(3)]
    assert sample.layout.grid_size == GRID


def test_a_pruned_sample_has_as_many_tokens_as_its_layout():
    pruned = {
        'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 3, 2, 3, 4, 5, 6]),
        'mask_ids': torch.tensor([-1] * 5 + [0, 0, -1, 1]),
        'pixel_values': torch.zeros(12, 1176),
        'image_layout': torch.tensor([[0, 0, 2], [0, 2, 1], [1, 2, 1]]),
    }
    assert len(GroundingSample(**fields(**pruned)).layout) == 3

    with pytest.raises(
        ValueError, match=r'its image tokens number 6, expected 3 \(its layout of a grid of 2x3 units\)'
    ):
        GroundingSample(**fields(image_layout=pruned['image_layout']))
    with pytest.raises(ValueError, match=r'pixel_values has rows 24, expected 12 \(the patches of its layout\)'):
        GroundingSample(**fields(**{**pruned, 'pixel_values': torch.zeros(24, 1176)}))
    message = r"image 'folder/cats\.jpg': image layout covers unit \(row 1, column 2\) 0 times"
    with pytest.raises(ValueError, match=message):
        GroundingSample(**fields(**{**pruned, 'image_layout': pruned['image_layout'][:2]}))


def test_to_the_same_device_still_copies_the_sample():
    sample = GroundingSample(**fields())

    copy = sample.to('cpu')
    copy.pred_masks = torch.zeros(2, IMAGE_HEIGHT, IMAGE_WIDTH)

    assert copy is not sample
    assert sample.pred_masks is None
    assert torch.equal(copy.input_ids, sample.input_ids)
