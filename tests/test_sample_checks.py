"""How the fields of a grounding sample must fit together."""

import re

import pytest
import torch
from plain_sample import GRID, fields, view

from flmm.apt.layout import TokenLayout
from flmm.geometry import frame_meta_data
from flmm.structures import GroundingSample, PhraseInfo


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
        ({'views': []}, 'has no view; give at least one, with its tokens'),
        (
            {'views': [view(columns=torch.arange(1, 6))]},
            'view 0 has columns (5,), expected (6,) (one for each token)',
        ),
        (
            {'views': [view(), view(columns=torch.arange(6)[None])]},
            'view 1 has columns (1, 6), expected (6,) (one for each token)',
        ),
        (
            {'views': [view(meta_data=frame_meta_data((9, 9), (56, 84))), view()]},
            "view 0 is of an image {'height': 9, 'width': 9}, expected {'height': 50, 'width': 90} (as the last view)",
        ),
        (
            {'views': [view(columns=torch.arange(7, 13))]},
            'view 0 has columns outside of the 12 tokens of the sequence, or at tokens of phrases; expected those of '
            'its image tokens',
        ),
        (
            {'views': [view(columns=torch.arange(3, 9))]},
            'view 0 has columns outside of the 12 tokens of the sequence, or at tokens of phrases; expected those of '
            'its image tokens',
        ),
        (
            {'views': [view(columns=torch.arange(-1, 5))]},
            'view 0 has columns outside of the 12 tokens of the sequence, or at tokens of phrases; expected those of '
            'its image tokens',
        ),
        (
            {'views': [view(columns=torch.tensor([1, 2, 3, 4, 4, 6]))]},
            'token 4 of the sequence is in the columns of its views 2 times; a token shows one place in one view',
        ),
        (  # columns that count from the view's own first token
            {'views': [view(columns=torch.tensor([6, 7]), layout=TokenLayout.dense((1, 2))), view()]},
            'token 6 of the sequence is in the columns of its views 2 times; a token shows one place in one view',
        ),
        (
            {'views': [view(meta_data=frame_meta_data((9, 9), (56, 84)))]},
            'image has size (50, 90), expected (9, 9) (the original shape of its views)',
        ),
        ({'lmm_inputs': None}, 'image and lmm_inputs may be absent only where features are known'),
        (
            {'masks': torch.zeros(2, 84, 56, dtype=torch.bool)},
            'masks has shape (2, 84, 56), expected (2, 56, 84) (a mask each, frame of the last view)',
        ),
        (
            {'masks': torch.zeros(1, 56, 84, dtype=torch.bool)},
            'masks has shape (1, 56, 84), expected (2, 56, 84) (a mask each, frame of the last view)',
        ),
        (
            {'gt_masks': torch.zeros(2, 56, 84, dtype=torch.bool)},
            'gt_masks has shape (2, 56, 84), expected (2, 50, 90) (a mask each, image frame)',
        ),
        (
            {'ignore_masks': torch.zeros(2, 56, 84, dtype=torch.bool)},
            'ignore_masks has shape (2, 56, 84), expected (2, 50, 90) (a mask each, image frame)',
        ),
        (
            {'gt_masks': torch.zeros(2, 50, 90, dtype=torch.uint8)},
            'gt_masks has dtype torch.uint8, expected torch.bool (True within the mask)',
        ),
        (
            {'phrase_infos': [PhraseInfo()]},
            'phrase_infos number 1, expected 2 (one for each phrase, or None)',
        ),
    ],
)
def test_fields_that_do_not_fit_name_image_found_and_expected(changes, message):
    with pytest.raises(ValueError, match=re.escape("image 'folder/cats.jpg'") + ':? ' + re.escape(message) + '$'):
        GroundingSample(**fields(**changes))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'prompt_length': 9},
            'its prompt is the first 9 tokens, its image ends at token 6; expected all of the image in the prompt, and '
            'phrases only behind it',
        ),
        (
            {'prompt_length': 6},
            'its prompt is the first 6 tokens, its image ends at token 6; expected all of the image in the prompt, and '
            'phrases only behind it',
        ),
        (
            {'mask_ids': torch.tensor([0] + [-1] * 9 + [1, 1])},
            'its prompt is the first 0 tokens, its image ends at token 6; expected all of the image in the prompt, and '
            'phrases only behind it',
        ),
        (
            {'independent': True},
            'has independent phrases, and text behind the prompt that belongs to none; leave it out, or set '
            'independent=False',
        ),
        (
            {'independent': True, 'prompt_length': 7, 'mask_ids': torch.tensor([-1] * 8 + [0, 0, 1, 1])},
            'has independent phrases, and text behind the prompt that belongs to none; leave it out, or set '
            'independent=False',
        ),
    ],
)
def test_prompts_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape("image 'folder/cats.jpg'") + ':? ' + re.escape(message) + '$'):
        GroundingSample(**fields(**changes))


def test_truth_may_be_absent_but_not_by_half():
    assert GroundingSample(**fields(masks=None, gt_masks=None)).gt_masks is None
    for absent, given in (('masks', 'gt_masks'), ('gt_masks', 'masks')):
        message = f"image 'folder/cats.jpg' has {given} but {absent} is None; give both, or None for both"
        with pytest.raises(ValueError, match=re.escape(message)):
            GroundingSample(**fields(**{absent: None}))


def test_a_sample_without_phrases_is_refused():
    changes = {'phrases': [], 'mask_ids': torch.full((12,), -1), 'masks': torch.zeros(0, 56, 84, dtype=torch.bool)}

    with pytest.raises(ValueError, match=r"image 'folder/cats\.jpg' has no phrase; leave it out of the dataset"):
        GroundingSample(**fields(**changes))


def test_a_layout_that_is_none_is_named_with_its_image():
    layout = TokenLayout(tokens=torch.tensor([[0, 0, 2], [0, 2, 1]]), grid_size=GRID)
    message = r"image 'folder/cats\.jpg': image layout covers unit \(row 1, column 2\) 0 times"
    with pytest.raises(ValueError, match=message):
        GroundingSample(**fields(views=[view(columns=torch.arange(1, 3), layout=layout)]))
