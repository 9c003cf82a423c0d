"""GroundingSample: how its fields must fit together, and its copies on another device."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.apt.layout import TokenLayout
from flmm.geometry import frame_meta_data
from flmm.mask_logits import MaskLogits
from flmm.reading import ImageReading, Prefix
from flmm.structures import FrozenFeatures, GroundingSample, ImageView, PhraseInfo, distinct

IMAGE_TOKEN = 9
IMAGE_HEIGHT, IMAGE_WIDTH = 50, 90
GRID = (2, 3)  # units: 56 x 84 px, 6 image tokens
FRAME = frame_meta_data((IMAGE_HEIGHT, IMAGE_WIDTH), (56, 84))


def view(**changes):
    return ImageView(
        **{'columns': torch.arange(1, 7), 'layout': TokenLayout.dense(GRID), 'meta_data': FRAME, **changes}
    )


def fields(**changes):
    """A valid sample of two phrases, 'left' of two tokens and 'cat' of one, with ``changes``."""
    return {
        'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 6, 2, 3, 4, 5, 6]),
        'mask_ids': torch.tensor([-1] * 8 + [0, 0, -1, 1]),
        'lmm_inputs': {'pixel_values': torch.zeros(24, 1176)},
        'views': [view()],
        'phrases': ['left', 'cat'],
        'masks': torch.zeros(2, 56, 84, dtype=torch.bool),
        'gt_masks': torch.zeros(2, IMAGE_HEIGHT, IMAGE_WIDTH, dtype=torch.bool),
        'image': Image.fromarray(np.zeros((IMAGE_HEIGHT, IMAGE_WIDTH, 3), dtype=np.uint8)),
        'image_path': 'folder/cats.jpg',
        **changes,
    }


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
            {'phrase_infos': [PhraseInfo()]},
            'phrase_infos number 1, expected 2 (one for each phrase, or None)',
        ),
    ],
)
def test_fields_that_do_not_fit_name_image_found_and_expected(changes, message):
    with pytest.raises(ValueError, match=re.escape("image 'folder/cats.jpg'") + ':? ' + re.escape(message) + '$'):
        GroundingSample(**fields(**changes))


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


def test_a_copy_without_truth_can_be_moved():
    moved = GroundingSample(**fields(masks=None, gt_masks=None)).to('cpu')
    assert moved.masks is moved.gt_masks is None


def test_a_sample_without_phrases_is_refused():
    changes = {'phrases': [], 'mask_ids': torch.full((12,), -1), 'masks': torch.zeros(0, 56, 84, dtype=torch.bool)}

    with pytest.raises(ValueError, match=r"image 'folder/cats\.jpg' has no phrase; leave it out of the dataset"):
        GroundingSample(**fields(**changes))


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


def test_a_layout_that_is_none_is_named_with_its_image():
    layout = TokenLayout(tokens=torch.tensor([[0, 0, 2], [0, 2, 1]]), grid_size=GRID)
    message = r"image 'folder/cats\.jpg': image layout covers unit \(row 1, column 2\) 0 times"
    with pytest.raises(ValueError, match=message):
        GroundingSample(**fields(views=[view(columns=torch.arange(1, 3), layout=layout)]))


def test_two_samples_show_the_same_picture():
    sample = GroundingSample(**fields())
    pixels = {'pixel_values': torch.zeros(24, 1176)}
    assert sample.shows_the_same(replace(sample, lmm_inputs=pixels, phrases=['a', 'b']))
    assert not sample.shows_the_same(replace(sample, image=sample.image.copy()))
    assert not sample.shows_the_same(replace(sample, lmm_inputs={'pixel_values': torch.ones(24, 1176)}))
    assert not sample.shows_the_same(replace(sample, lmm_inputs={**pixels, 'image_sizes': torch.zeros(2)}))
    second = view(columns=torch.tensor([0, 7]), layout=TokenLayout.dense((1, 2)))
    assert not sample.shows_the_same(replace(sample, views=[second, view()]))
    pruned = TokenLayout(tokens=torch.tensor([[0, 0, 2], [0, 2, 1], [1, 2, 1]]), grid_size=GRID)
    assert not sample.shows_the_same(replace(sample, views=[view(columns=torch.arange(1, 4), layout=pruned)]))


def test_two_samples_begin_alike():
    sample = GroundingSample(**fields())
    others = fields(
        input_ids=torch.tensor([1, *[IMAGE_TOKEN] * 6, 2, 8, 7]),
        mask_ids=torch.tensor([-1] * 8 + [0, 1]),
        image=sample.image,
        independent=True,
    )
    assert sample.begins_like(GroundingSample(**others))
    prompt = torch.tensor([1, *[IMAGE_TOKEN] * 6, 3, 8, 7])
    assert not sample.begins_like(GroundingSample(**{**others, 'input_ids': prompt}))
    assert not sample.begins_like(GroundingSample(**{**others, 'prompt_length': 7, 'independent': False}))
    assert not sample.begins_like(GroundingSample(**{**others, 'image': sample.image.copy()}))
    assert not sample.begins_like(GroundingSample(**{**others, 'reading': reading()}))
    assert not sample.begins_like(GroundingSample(**{**others, 'views': [view(columns=torch.arange(6, 0, -1))]}))


def reading():
    prefix = Prefix(
        input_ids=torch.tensor([1, *[IMAGE_TOKEN] * 6, 2]),
        keys=[torch.zeros(1, 2, 8, 4)],
        values=[torch.zeros(1, 2, 8, 4)],
        states=[None],
        next_position=8,
    )
    return ImageReading(
        prefix=prefix,
        image_embedding={'image': torch.zeros(4, 2, 2)},
        image=Image.new('RGB', (IMAGE_WIDTH, IMAGE_HEIGHT)),
        layouts=[TokenLayout.dense(GRID)],
        made_by={'LMM': 'a', 'image encoder of SAM': 'b'},
    )


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


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image': Image.new('RGB', (IMAGE_WIDTH, IMAGE_HEIGHT))}, 'is not the image that was read, or it is read by'),
        (
            {'views': [view(layout=TokenLayout.dense((3, 2)))]},
            'is not the image that was read, or it is read by other tokens; read it by itself',
        ),
        (
            {'views': [view(columns=torch.tensor([0, 7]), layout=TokenLayout.dense((1, 2))), view()]},
            'is not the image that was read, or it is read by other tokens; read it by itself',
        ),
        (
            {'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 6, 3, 3, 4, 5, 6])},
            'begins otherwise than the 8 tokens that were read; read the image again with its own prompt',
        ),
        (
            {'prompt_length': 7},
            'has 7 tokens, 8 were read; read the image again with its own prompt',
        ),
        (
            {'prompt_length': 9, 'mask_ids': torch.tensor([-1] * 9 + [0, 0, 1])},
            'has 9 tokens, 8 were read; read the image again with its own prompt',
        ),
    ],
)
def test_a_reading_of_something_else_is_refused(changes, message):
    read = reading()
    depth = len(read.prefix.keys)
    read.check_begins(GroundingSample(**fields(image=read.image)), depth=depth)
    with pytest.raises(ValueError, match=r"image 'folder/cats\.jpg'.*" + re.escape(message)):
        read.check_begins(GroundingSample(**fields(**{'image': read.image, **changes})), depth=depth)


def test_a_reading_through_too_few_layers_is_refused():
    read = reading()
    depth = len(read.prefix.keys) + 1
    message = rf"image 'folder/cats\.jpg' was read through {depth - 1} layers, {depth} are run; read it with the model"
    with pytest.raises(ValueError, match=message):
        read.check_begins(GroundingSample(**fields(image=read.image)), depth=depth)


def test_what_was_read_stays_where_it_is():
    read = reading()
    sample = GroundingSample(**fields(image=read.image, reading=read))
    moved = sample.to('meta')
    assert moved.input_ids.device.type == moved.views[0].columns.device.type == 'meta'
    assert moved.reading is read
    assert moved.lmm_inputs['pixel_values'] is sample.lmm_inputs['pixel_values']  # nothing reads them again


def test_the_memory_of_a_prefix_is_that_of_keys_and_values():
    def prefix(dtype, num_layers=3, heads=2, size=4, length=8):
        parts = [torch.zeros(1, heads, length, size, dtype=dtype) for _ in range(num_layers)]
        return Prefix(
            input_ids=torch.zeros(length), keys=[None, *parts], values=[None, *parts], states=[object(), *[None] * 3],
            next_position=8,
        )  # fmt: skip

    assert prefix(torch.float32).num_bytes == 2 * 3 * 2 * 4 * 8 * 4
    assert prefix(torch.bfloat16, num_layers=5, length=11).num_bytes == 2 * 5 * 2 * 4 * 11 * 2


def test_distinct_keeps_the_first_of_each_kind():
    assert distinct(['a', 'B', 'A', 'b', 'c'], same=lambda one, other: one.lower() == other.lower()) == (
        ['a', 'B', 'c'],
        [0, 1, 0, 1, 2],
    )
    assert distinct([], same=lambda one, other: True) == ([], [])


def test_to_the_same_device_still_copies_the_sample():
    sample = GroundingSample(**fields())

    copy = sample.to('cpu')
    copy.sam_scores = torch.zeros(2)

    assert copy is not sample
    assert sample.sam_scores is None
    assert torch.equal(copy.input_ids, sample.input_ids)
