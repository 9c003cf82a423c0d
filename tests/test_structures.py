"""GroundingSample: what follows from its fields, and its copies on another device."""

import pytest
import torch
from plain_sample import FRAME, GRID, IMAGE_HEIGHT, IMAGE_WIDTH, fields, reading, view

from flmm.apt.layout import TokenLayout
from flmm.geometry import frame_meta_data
from flmm.mask_logits import MaskLogits
from flmm.structures import FrozenFeatures, GroundingSample, PhraseInfo


def predicted(*, coarse, refined, **changes):
    made = GroundingSample(**fields(**changes))
    return made.with_outputs(coarse=MaskLogits.from_image(coarse), refined=MaskLogits.from_image(refined))


def test_valid_sample_knows_its_sizes():
    sample = GroundingSample(**fields(phrase_infos=[PhraseInfo(kind='name'), PhraseInfo(plural=True)]))

    assert sample.num_masks == 2
    assert sample.grid_size == GRID
    assert (sample.dataset_name, sample.sample_idx) == ('dataset', 0)
    assert sample.mask_attentions is None
    assert sample.pred_masks is None


def test_nothing_said_of_phrases_is_said_of_each():
    assert GroundingSample(**fields()).phrase_infos == [PhraseInfo(), PhraseInfo()]


def test_phrases_without_a_target_are_those_of_empty_truth():
    truth = torch.zeros(2, IMAGE_HEIGHT, IMAGE_WIDTH, dtype=torch.bool)
    truth[1, 3, 4] = True

    assert GroundingSample(**fields(gt_masks=truth)).has_target.tolist() == [False, True]
    with pytest.raises(ValueError, match=r"image 'folder/cats.jpg' has no truth masks, so nothing says which phrases"):
        _ = GroundingSample(**fields(masks=None, gt_masks=None)).has_target


def test_masks_are_logits_above_zero_and_none_of_what_is_absent():
    logits = torch.tensor([-1.0, 0.0, 0.5, 3.0]).expand(2, IMAGE_HEIGHT // 2, 4)
    sample = predicted(coarse=logits, refined=-logits)
    row = [False, False, True, True]

    assert sample.coarse_masks[1, 0].tolist() == row
    assert sample.refined_masks[0, 0].tolist() == [True, False, False, False]
    judged = sample.with_outputs(exists=torch.tensor([False, True]))
    assert not judged.coarse_masks[0].any()
    assert judged.coarse_masks[1, 0].tolist() == row
    assert judged.refined_masks.any(dim=2).any(dim=1).tolist() == [False, True]


def test_coarse_masks_of_a_tracked_frame_have_a_verdict_of_their_own():
    ones, exists = torch.ones(2, IMAGE_HEIGHT // 2, 4), torch.tensor([False, True])
    judged = predicted(coarse=ones, refined=ones).with_outputs(exists=exists, coarse_exists=~exists)
    tracked = judged.with_outputs(tracked=True)

    assert judged.verdict('coarse').tolist() == judged.verdict('refined').tolist() == [False, True]
    assert tracked.verdict('coarse').tolist() == [True, False]
    assert tracked.coarse_masks.any(dim=2).any(dim=1).tolist() == [True, False]
    assert tracked.refined_masks.any(dim=2).any(dim=1).tolist() == [False, True]
    assert tracked.with_outputs(coarse_exists=None).coarse_masks.all()


def test_order_of_phrases_in_the_sequence_is_free():
    sample = GroundingSample(**fields(mask_ids=torch.tensor([-1] * 8 + [1, 1, -1, 0])))

    assert sample.num_masks == 2


def test_the_prompt_is_what_stands_before_the_first_phrase_unless_it_is_given():
    assert GroundingSample(**fields()).prompt_length == 8
    assert GroundingSample(**fields(prompt_length=7)).prompt_length == 7  # the rest of it is read with the phrases
    no_context = fields(mask_ids=torch.tensor([-1] * 7 + [0, 0, 1, 1, 1]))
    assert GroundingSample(**no_context).prompt_length == 7


def test_texts_are_one_or_one_for_each_phrase():
    (text,) = GroundingSample(**fields()).texts
    assert text.tolist() == [8, 9, 10, 11]
    (text,) = GroundingSample(**fields(prompt_length=7)).texts
    assert text.tolist() == [7, 8, 9, 10, 11]
    mixed = fields(mask_ids=torch.tensor([-1] * 8 + [1, 0, 1, 0]), independent=True)
    assert [text.tolist() for text in GroundingSample(**mixed).texts] == [[9, 11], [8, 10]]


def test_a_copy_without_truth_can_be_moved():
    moved = GroundingSample(**fields(masks=None, gt_masks=None)).to('cpu')
    assert moved.masks is moved.gt_masks is None


def test_outputs_are_filled_into_a_copy():
    sample = GroundingSample(**fields())
    logits = torch.randn(2, IMAGE_HEIGHT, IMAGE_WIDTH)
    found = sample.with_outputs(coarse=MaskLogits.from_image(logits), sam_scores=torch.tensor([0.5, 0.7]))
    assert torch.equal(found.pred_masks, logits)
    assert found.sam_scores.tolist() == pytest.approx([0.5, 0.7])
    assert sample.coarse is sample.pred_masks is sample.sam_scores is None
    assert found.views is sample.views


def test_to_moves_every_tensor_and_list_of_tensors_of_a_copy():
    sample = GroundingSample(**fields())
    sample.mask_attentions = torch.zeros(2, 8, *GRID)
    sample.text_embeds = [torch.zeros(2, 4), torch.zeros(1, 4)]

    moved = sample.to('meta')

    assert moved.lmm_inputs['pixel_values'].device.type == 'meta'
    assert moved.views[0].columns.device.type == moved.layout.tokens.device.type == 'meta'
    assert sample.views[0].columns.device.type == sample.layout.tokens.device.type == 'cpu'
    assert (moved.meta_data, moved.grid_size) == (FRAME, GRID)
    tensors = ('input_ids', 'mask_ids', 'masks', 'gt_masks', 'mask_attentions')
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


def test_the_last_view_is_the_one_that_masks_are_predicted_in():
    base = view(
        columns=torch.tensor([7, 5]),
        layout=TokenLayout.dense((1, 2)),
        meta_data=frame_meta_data((IMAGE_HEIGHT, IMAGE_WIDTH), (50, 90), (20, 20, 0, 0)),
    )
    fine = view(columns=torch.tensor([1, 2, 3, 4, 0, 6]))
    sample = GroundingSample(**fields(views=[base, fine]))
    assert (sample.meta_data, sample.layout, sample.grid_size) == (FRAME, fine.layout, GRID)
    assert sample.image_size == (IMAGE_HEIGHT, IMAGE_WIDTH)


def test_a_reading_stays_where_its_model_is():
    """A grounder asks many samples of one reading: a copy for each would fill the memory."""
    sample = GroundingSample(**fields(reading=reading()))
    moved = sample.to('meta')
    assert moved.reading is sample.reading
    assert moved.input_ids.device.type == 'meta'


def test_to_moves_small_logits_and_their_way_stays():
    sample = predicted(coarse=torch.ones(2, 4, 5), refined=torch.ones(2, 4, 5))
    moved = sample.to('meta')
    assert moved.coarse.small.device.type == moved.pred_masks.device.type == 'meta'
    assert (moved.coarse.image_size, moved.coarse.to_image) == ((4, 5), sample.coarse.to_image)
    assert sample.coarse.small.device.type == 'cpu'


def test_what_was_read_stays_where_it_is():
    read = reading()
    sample = GroundingSample(**fields(image=read.image, reading=read))
    moved = sample.to('meta')
    assert moved.input_ids.device.type == moved.views[0].columns.device.type == 'meta'
    assert moved.reading is read
    assert moved.lmm_inputs['pixel_values'] is sample.lmm_inputs['pixel_values']  # nothing reads them again


def test_to_the_same_device_still_copies_the_sample():
    sample = GroundingSample(**fields())

    copy = sample.to('cpu')
    copy.sam_scores = torch.zeros(2)

    assert copy is not sample
    assert sample.sam_scores is None
    assert torch.equal(copy.input_ids, sample.input_ids)
