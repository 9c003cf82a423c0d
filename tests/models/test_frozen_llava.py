"""FrozenLlavaSAM and FrozenLlavaNextSAM against the stock models, and against F-LMM's reading written anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_grounder import LOSSES
from tiny_llava import MODEL_TYPES, llava_batch, llava_sample, random_image, tiny_grounder, tiny_lmm, tiny_wrapper
from tiny_models import tiny_lmm as tiny_qwen
from tiny_models import tiny_sam

from flmm.apt.layout import TokenLayout
from flmm.geometry import image_to_processed
from flmm.models import SAMWrapper, pretrained_lmm
from flmm.models.attention_capture import CAPTURING_SDPA
from flmm.models.frozen_llava import FrozenLlavaNextSAM, FrozenLlavaSAM

SIDE = 56
"""Squares of 4 x 4 patches, where the real size would only take longer."""
TRAINED = ('mask_head.', 'text_proj.', 'text_layer_weights', 'sam.model.prompt_encoder.', 'sam.model.mask_decoder.')

UNREACHED = (
    'iou_prediction_head', *(f'output_hypernetworks_mlps.{index}' for index in (1, 2, 3)),  # of other mask tokens
    'no_mask_embed', 'not_a_point_embed', *(f'point_embeddings.{index}' for index in (0, 1)),  # of prompts not given
)  # fmt: skip
"""Parts of SAM that a refinement with box, mask and text does not depend on."""


def eager_outputs(lmm, sample):
    """What the stock model says of a sample: attention [layers * heads, S, S], hidden states of each layer [S, D]."""
    lmm.set_attn_implementation({'text_config': 'eager'})
    with torch.no_grad():
        outputs = lmm.model(
            input_ids=sample.input_ids[None], **sample.lmm_inputs, output_attentions=True, output_hidden_states=True
        )
    return torch.cat(outputs.attentions, dim=1)[0], [states[0] for states in outputs.hidden_states[1:]]


def f_lmm_reading(attention, sample, *, num_leading=0):
    """F-LMM's maps of each phrase: [M, C, g, g] of the square; and of the tiles [M, C, h, w], or None."""
    image = attention[..., sample.input_ids == sample.input_ids[sample.views[0].columns[0]]]
    phrases = [image[:, sample.mask_ids == index].mean(dim=1) for index in range(sample.num_masks)]
    tokens = torch.stack(phrases)[..., num_leading:]
    side = sample.lmm_inputs['pixel_values'].shape[-1] // 14
    coarse = tokens[..., : side**2].reshape(*tokens.shape[:2], side, side)  # [M, C, g, g]
    if len(sample.views) == 1:
        return coarse, None
    h, w = sample.grid_size
    return coarse, tokens[..., side**2 :].reshape(*tokens.shape[:2], h, w + 1)[..., :-1]  # [M, C, h, w]


def assert_equals_the_eager_model(model, lmm, sample, **kwargs):
    (found,) = model.encode([sample])
    attention, hidden_states = eager_outputs(lmm, sample)
    coarse, fine = f_lmm_reading(attention, sample, **kwargs)
    if model.num_views == 2:
        second = coarse if fine is None else fine
        coarse = F.interpolate(coarse, size=second.shape[-2:], mode='bilinear', align_corners=False)
        expected = torch.cat([coarse, second], dim=1)
    else:
        expected = coarse
    torch.testing.assert_close(found.attentions, expected, atol=1e-5, rtol=1e-5)
    rows = (sample.mask_ids >= 0).nonzero()[:, 0]
    torch.testing.assert_close(
        found.hidden_states, torch.stack([states[rows] for states in hidden_states]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ('model_type', 'text', 'size', 'side'),
    [
        ('llava', 'llama', (480, 640), 336),
        ('llava', 'mistral', (150, 100), SIDE),
        ('llava_next', 'llama', (240, 480), 336),  # tiles 1 x 2, nothing is padded
        ('llava_next', 'llama', (84, 112), SIDE),  # tiles 2 x 2, of 8 rows one is removed on either side
        ('llava_next', 'mistral', (300, 100), SIDE),  # tiles 3 x 1
    ],
)
def test_maps_and_hidden_states_equal_the_eager_model(model_type, text, size, side):
    phrases = ['some blue circle', 'cat']
    sample = llava_sample(tiny_wrapper(model_type, side=side), phrases, size=size, independent=False)
    model, lmm = (make(model_type, text=text, side=side) for make in (tiny_grounder, tiny_lmm))
    assert_equals_the_eager_model(model, lmm, sample)


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_features_may_be_those_of_several_layers(model_type):
    sample = llava_sample(tiny_wrapper(model_type, side=SIDE), ['cat'], size=(100, 200))
    model, lmm = (make(model_type, side=SIDE, vision_feature_layer=[-2, 1]) for make in (tiny_grounder, tiny_lmm))
    assert_equals_the_eager_model(model, lmm, sample)


def test_a_class_token_before_the_patches_belongs_to_no_view():
    wrapper = tiny_wrapper(side=SIDE)
    wrapper.processor.vision_feature_select_strategy = 'full'
    sample = llava_sample(type(wrapper)(pretrained_model_name_or_path=wrapper.processor), ['cat'], size=(100, 200))
    assert (sample.input_ids == wrapper.image_token_id).sum() == 17
    model, lmm = (make(side=SIDE, vision_feature_select_strategy='full') for make in (tiny_grounder, tiny_lmm))
    assert_equals_the_eager_model(model, lmm, sample, num_leading=1)


def test_fine_maps_are_read_where_unpadding_keeps_some_padding_or_cuts_the_image():
    model, lmm = (make('llava_next', side=SIDE) for make in (tiny_grounder, tiny_lmm))
    for size in ((95, 120), (88, 120)):
        sample = llava_sample(tiny_wrapper('llava_next', side=SIDE), ['cat'], size=size)
        assert any(sample.meta_data['padding'].values())
        (found,) = model.encode([sample])
        _, fine = f_lmm_reading(eager_outputs(lmm, sample)[0], sample)
        torch.testing.assert_close(found.attentions[:, fine.shape[1] :], fine, atol=1e-5, rtol=1e-5)


def test_a_sample_of_more_views_than_are_read_is_refused():
    sample = llava_sample(tiny_wrapper(side=SIDE), ['cat'], size=(56, 56))
    (view,) = sample.views
    half = TokenLayout.dense((2, 4))
    halves = [replace(view, columns=columns, layout=half) for columns in view.columns.split(8)]
    message = r"image 'random_56_56.jpg' has 2 views, the model reads 1 \(num_views\); use the model's own processor"
    with pytest.raises(ValueError, match=message):
        tiny_grounder(side=SIDE).run_lmm([replace(sample, views=halves)])


def test_one_view_is_given_to_the_mask_head_twice():
    sample = llava_sample(tiny_wrapper('llava_next', side=SIDE), ['cat'], size=(4, 150))  # too thin for a row of cells
    assert len(sample.views) == 1
    model, lmm = (make('llava_next', side=SIDE) for make in (tiny_grounder, tiny_lmm))
    assert_equals_the_eager_model(model, lmm, sample)
    (found,) = model([sample], mode='predict')
    assert found.mask_attentions.shape == (1, 16, 4, 4)
    assert torch.equal(found.mask_attentions[:, :8], found.mask_attentions[:, 8:])


def test_the_coarse_view_alone_reads_as_it_does_beside_the_fine_one():
    wrapper = tiny_wrapper('llava_next', side=SIDE)
    sample = llava_sample(wrapper, ['cat', 'a'], size=(95, 120), independent=False)
    base = sample.views[0]
    alone = replace(sample, views=[base], masks=image_to_processed(sample.gt_masks, base.meta_data))
    model, lmm = (make('llava_next', side=SIDE) for make in (tiny_grounder, tiny_lmm))
    (found,) = model.encode([alone])
    coarse, _ = f_lmm_reading(eager_outputs(lmm, sample)[0], sample)
    torch.testing.assert_close(found.attentions, torch.cat([coarse, coarse], dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('model_type', 'channels'), [('llava', 8), ('llava_next', 16)])
def test_a_batch_equals_its_samples_one_by_one(model_type, channels):
    model, samples = tiny_grounder(model_type, side=SIDE), llava_batch(model_type, side=SIDE)
    samples.append(replace(samples[0], phrases=['x', 'y']))  # the same image again
    assert len({len(sample.input_ids) for sample in samples}) == 3
    for sample, found in zip(samples, model(samples, mode='predict'), strict=True):
        (alone,) = model([sample], mode='predict')
        assert found.mask_attentions.shape == (sample.num_masks, channels, *sample.grid_size)
        assert found.sam_pred_masks.shape == sample.gt_masks.shape
        torch.testing.assert_close(found.mask_attentions, alone.mask_attentions, atol=1e-5, rtol=1e-5)
        for name in ('pred_masks', 'sam_pred_masks'):  # logits of several units
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=3e-5, rtol=1e-5)
        for text, expected in zip(found.text_embeds, alone.text_embeds, strict=True):
            torch.testing.assert_close(text, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_an_image_in_several_samples_is_encoded_once(model_type):
    model, (sample, other, _) = tiny_grounder(model_type, side=SIDE), llava_batch(model_type, side=SIDE)
    squares = []
    model.lmm.model.vision_tower.register_forward_hook(lambda module, args, output: squares.append(len(args[0])))
    model.encode([sample, other, sample])
    assert squares == [sum(one.lmm_inputs['pixel_values'].flatten(0, -4).shape[0] for one in (sample, other))]


def embeddings_of(lmm, wrapper, image):
    """[S, D]: what the language model of a stock LMM reads of an image."""
    read = wrapper.preprocess(image, prompt='Where?')
    lmm.model.language_model.layers = torch.nn.ModuleList()  # what they do is not looked at
    seen = []
    hook = lmm.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs['inputs_embeds'][0]), with_kwargs=True
    )
    with torch.no_grad():
        lmm.model(input_ids=read.input_ids[None], **read.lmm_inputs)
    hook.remove()
    return seen[0], read


def painted(image, row, column):
    """The image with a square of 2 x 2 px of another colour about a point."""
    pixels = np.array(image)
    rows, columns = (slice(round(place) - 1, round(place) + 1) for place in (row, column))
    pixels[rows, columns] = 255 - pixels[rows, columns]
    return Image.fromarray(pixels)


# With patch embeddings for features, what is painted changes one of them; attention would mix it into the others.
def test_a_painted_cell_of_a_padded_square_is_the_one_that_changes():
    lmm, wrapper = tiny_lmm(vision_feature_layer=-4), tiny_wrapper()
    image = random_image(480, 640)
    before, read = embeddings_of(lmm, wrapper, image)
    start = read.input_ids.tolist().index(wrapper.image_token_id)
    (view,) = read.views
    for y, x in ((30, 86.7), (230, 6.7), (470, 633.3)):
        # 640 px are 24 columns, a cell 26.67 px; 480 px are 18 of the 24 rows, three above and below.
        cell = (3 + int(y / 480 * 18), int(x / 640 * 24))
        after, _ = embeddings_of(lmm, wrapper, painted(image, y, x))
        (changed,) = (before != after).any(dim=1).nonzero()[:, 0].tolist()
        assert changed == start + cell[0] * 24 + cell[1]
        assert view.layout.tokens[view.columns.tolist().index(changed)].tolist() == [*cell, 1]


def test_a_painted_cell_of_both_views_is_the_one_that_changes():
    lmm, wrapper = tiny_lmm('llava_next', vision_feature_layer=-4), tiny_wrapper('llava_next')
    image = random_image(480, 640)
    before, read = embeddings_of(lmm, wrapper, image)
    start = read.input_ids.tolist().index(wrapper.image_token_id)
    for y, x in ((30, 86.7), (230, 6.7), (470, 633.3), (110, 326.7)):
        # The squashed image is 24 x 24 cells, the tiles are 36 x 48 without their padding, and a token ends each row.
        coarse, fine = ((int(y / 480 * rows), int(x / 640 * columns)) for rows, columns in ((24, 24), (36, 48)))
        columns = [start + coarse[0] * 24 + coarse[1], start + 576 + fine[0] * 49 + fine[1]]
        after, _ = embeddings_of(lmm, wrapper, painted(image, y, x))
        assert (before != after).any(dim=1).nonzero()[:, 0].tolist() == columns
        for view, cell, column in zip(read.views, (coarse, fine), columns, strict=True):
            assert view.layout.tokens[view.columns.tolist().index(column)].tolist() == [*cell, 1]


def test_a_frame_that_cuts_the_image_shows_what_it_says():
    """427 px make 449 of 672 px, 111 above and 112 below; eight cells of 14 px are removed on either side."""
    lmm, wrapper = tiny_lmm('llava_next', vision_feature_layer=-4), tiny_wrapper('llava_next')
    image = random_image(427, 640)
    before, read = embeddings_of(lmm, wrapper, image)
    fine = read.views[1]
    assert fine.meta_data['padding'] == {
        'before_height': -1, 'after_height': 0, 'before_width': 0, 'after_width': 0,
    }  # fmt: skip
    assert fine.layout.grid_size == (32, 48)
    start = read.input_ids.tolist().index(wrapper.image_token_id) + 576
    for y, row in ((6, 0), (206, 15), (420, 31)):  # (y * 449 / 427 - 1) / 14
        after, _ = embeddings_of(lmm, wrapper, painted(image, y, 86.7))
        changed = (before != after).any(dim=1).nonzero()[:, 0]
        assert changed[changed >= start].tolist() == [start + row * 49 + int(86.7 / 640 * 48)]


def test_tokens_that_end_rows_are_those_of_no_view():
    lmm, wrapper = tiny_lmm('llava_next', side=SIDE), tiny_wrapper('llava_next', side=SIDE)
    embeddings, read = embeddings_of(lmm, wrapper, random_image(90, 120))
    owned = torch.cat([view.columns for view in read.views])
    ends = (read.input_ids == wrapper.image_token_id).index_fill(0, owned, value=False)
    assert ends.sum() == read.views[1].layout.grid_size[0]
    assert torch.equal(embeddings[ends], lmm.model.image_newline.expand(int(ends.sum()), -1))


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_only_the_trained_part_gets_gradient_and_moves(model_type):
    model, samples = tiny_grounder(model_type, side=SIDE), llava_batch(model_type, side=SIDE)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(model(samples, mode='loss').values()).backward()
    optimizer.step()
    still = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    trained = {name for name in before if name.startswith(TRAINED)}
    for name, parameter in model.named_parameters():
        frozen = name not in trained or any(part in name for part in UNREACHED)
        assert parameter.requires_grad != frozen, name
        if not name.endswith('k_proj.bias'):  # which adds the same to all logits of a softmax
            assert (name in still) == frozen, name


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_a_bfloat16_lmm_feeds_a_float32_head(model_type):
    model, samples = tiny_grounder(model_type, side=SIDE), llava_batch(model_type, side=SIDE)
    expected = model.encode(samples)
    model.lmm.bfloat16()
    for found, high in zip(model.encode(samples), expected, strict=True):
        assert found.attentions.dtype == torch.float32
        torch.testing.assert_close(found.attentions.sum(dim=(2, 3)), high.attentions.sum(dim=(2, 3)), atol=0.05, rtol=0)
    assert all(loss.dtype == torch.float32 for loss in model(samples, mode='loss').values())


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_a_checkpoint_folder_gives_the_same_maps(model_type, tmp_path):
    wrapper, model = tiny_wrapper(model_type, side=SIDE), tiny_grounder(model_type, side=SIDE, text='mistral')
    expected = model.encode([llava_sample(wrapper, ['cat'], size=(84, 112))])
    wrapper.processor.save_pretrained(tmp_path)
    tiny_lmm(model_type, side=SIDE, text='mistral').save_pretrained(tmp_path)
    loaded = type(wrapper)(pretrained_model_name_or_path=tmp_path, prompt_template='USER: <image>\n{prompt} ASSISTANT:')
    model.lmm = pretrained_lmm(name_or_path=tmp_path, dtype='float32')
    model.lmm.set_attn_implementation({'text_config': CAPTURING_SDPA})
    found = model.encode([llava_sample(loaded, ['cat'], size=(84, 112))])
    torch.testing.assert_close(found[0].attentions, expected[0].attentions, atol=0, rtol=0)


@pytest.mark.parametrize(
    ('model', 'lmm', 'message'),
    [
        (FrozenLlavaSAM, tiny_qwen, 'FrozenLlavaSAM does not run it, FrozenQwenSAM does'),
        (FrozenLlavaSAM, lambda: tiny_lmm('llava_next'), 'FrozenLlavaSAM does not run it, FrozenLlavaNextSAM does'),
        (FrozenLlavaNextSAM, tiny_lmm, 'FrozenLlavaNextSAM does not run it, FrozenLlavaSAM does'),
    ],
)
def test_another_lmm_is_refused(model, lmm, message):
    with pytest.raises(ValueError, match=message):
        model(
            lmm=lmm(), mask_head={'type': 'flmm.UNetHead', 'base_channels': 4}, sam=SAMWrapper(sam=tiny_sam()), **LOSSES
        )


def test_sliding_windows_of_mistral_are_refused():
    lmm = tiny_lmm('llava_next', text='mistral')
    lmm.config.text_config.sliding_window = 4096
    with pytest.raises(ValueError, match='lmm uses sliding-window attention; in its text_config set sliding_window'):
        FrozenLlavaNextSAM(
            lmm=lmm, mask_head={'type': 'flmm.UNetHead', 'base_channels': 4}, sam=SAMWrapper(sam=tiny_sam()), **LOSSES
        )
