"""What every family of LMMs has to hold: one test for each promise of the contract, over all that are registered."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_families import TINY, build_grounder, build_wrapper, make_batch, make_sample, stock_inputs

from flmm.families import FAMILIES
from flmm.geometry import image_to_processed, processed_to_image
from flmm.models.grounding_model import UNMOVED
from flmm.models.trainable_state import trainable_keys

families = pytest.mark.parametrize('model_type', FAMILIES)


def test_every_family_has_a_tiny_model():
    assert TINY.keys() == FAMILIES.keys()


@families
def test_maps_and_hidden_states_are_those_of_the_eager_model(model_type):
    samples, model = make_batch(model_type, independent=False), build_grounder(model_type)
    eager = TINY[model_type].lmm(model_type)
    eager.set_attn_implementation('eager')
    for sample, found in zip(samples, model.encode(samples), strict=True):
        with torch.no_grad():
            outputs = eager(**stock_inputs(model_type, sample), output_attentions=True, output_hidden_states=True)
        attention = torch.cat([weights for weights in outputs.attentions if weights is not None], dim=1)[0]
        for mask_id in range(sample.num_masks):
            phrase = attention[:, sample.mask_ids == mask_id].mean(dim=1)  # [heads, S]
            views = [phrase[:, view.columns].unflatten(1, view.layout.grid_size) for view in sample.views]
            expected = [
                F.interpolate(view[None], size=sample.grid_size, mode='bilinear', align_corners=False)[0]
                for view in views
            ]
            expected += expected[-1:] * (model.num_views - len(expected))
            torch.testing.assert_close(found.attentions[mask_id], torch.cat(expected), atol=1e-5, rtol=0)
        hidden = torch.stack(outputs.hidden_states[1:])[:, 0, sample.mask_ids >= 0]
        torch.testing.assert_close(found.hidden_states, hidden, atol=1e-4, rtol=1e-5)


@families
def test_a_batch_equals_its_samples_one_by_one(model_type):
    model, samples = build_grounder(model_type).eval(), make_batch(model_type)
    for sample, found in zip(samples, model(samples, mode='predict'), strict=True):
        (alone,) = model([sample], mode='predict')
        for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks'):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=1e-5, rtol=1e-5)


def embeddings(model, sample):
    """[P, hidden], what the language model is given of image and prompt."""
    seen = []
    hook = model.lmm.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs['inputs_embeds'][0]), with_kwargs=True
    )
    model.read_image(sample)
    hook.remove()
    return seen[0]


@families
@pytest.mark.parametrize('size', [(700, 700), (420, 840), (900, 500)])
def test_what_is_painted_into_a_cell_arrives_at_its_column(model_type, size):
    wrapper, model = build_wrapper(model_type), build_grounder(model_type)
    grey = np.full((*size, 3), 128, dtype=np.uint8)
    plain = make_sample(wrapper, ['a'], image=Image.fromarray(grey))
    before = embeddings(model, plain)
    height, width = size
    for down, right in ((0.13, 0.31), (0.52, 0.87), (0.81, 0.06)):
        row, column = int(down * height), int(right * width)
        painted = grey.copy()
        side = 12
        painted[row - side : row + side, column - side : column + side] = (250, 10, 240)
        sample = make_sample(wrapper, ['a'], image=Image.fromarray(painted))
        change = (embeddings(model, sample) - before).norm(dim=1)
        for view in sample.views:
            frame, grid = view.meta_data, view.layout.grid_size
            # Where the pixel lies in the frame, and so on the grid: written here, not taken from the package.
            cell = [
                (place / extent * frame['image_shape'][axis] + frame['padding'][f'before_{axis}'])
                / frame['padded_shape'][axis]
                * cells
                for place, extent, axis, cells in ((row, height, 'height', grid[0]), (column, width, 'width', grid[1]))
            ]
            top, left = divmod(int(change[view.columns].argmax()), grid[1])
            assert abs(top + 0.5 - cell[0]) <= 1, (view.layout.grid_size, cell, top, left)
            assert abs(left + 0.5 - cell[1]) <= 1, (view.layout.grid_size, cell, top, left)


@families
@pytest.mark.parametrize('size', [(100, 400), (133, 260), (240, 240), (301, 177), (400, 100)])
def test_a_mask_survives_the_way_through_the_grid_of_each_view(model_type, size):
    height, width = size
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    sample = make_sample(build_wrapper(model_type), ['a'], image=Image.fromarray(np.zeros((*size, 3), dtype=np.uint8)))
    for view in sample.views:
        in_frame = image_to_processed(mask, view.meta_data).float()
        on_grid = F.interpolate(in_frame[None], size=view.layout.grid_size, mode='area')[0]
        back = processed_to_image(on_grid, view.meta_data)[0] > 0.5
        rows, columns = back.any(dim=1).nonzero(), back.any(dim=0).nonzero()
        frame, grid = view.meta_data['padded_shape'], view.layout.grid_size
        cell = [  # in px of the image
            frame[axis] / cells * extent / view.meta_data['image_shape'][axis]
            for axis, cells, extent in (('height', grid[0], height), ('width', grid[1], width))
        ]
        for found, expected, side in (
            (rows[0], height // 4, cell[0]),
            (rows[-1], 3 * height // 4 - 1, cell[0]),
            (columns[0], width // 4, cell[1]),
            (columns[-1], 3 * width // 4 - 1, cell[1]),
        ):
            assert abs(int(found) - expected) <= max(side, 1)


@families
def test_a_training_step_moves_every_trained_parameter_and_no_other(model_type):
    model, samples = build_grounder(model_type), make_batch(model_type)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    sum(model(samples, mode='loss').values()).backward()
    optimizer.step()
    trained = trainable_keys(model, ('lmm', 'sam.model.image_encoder'))
    for name, parameter in model.named_parameters():
        assert name not in trained or parameter.grad is None or parameter.grad.isfinite().all(), name
        if not (name in trained and UNMOVED.match(name)):
            assert torch.equal(parameter, before[name]) == (name not in trained), name


@families
def test_special_tokens_in_prompt_and_phrases_stay_text(model_type):
    wrapper = build_wrapper(model_type)
    names = list(wrapper.tokenizer.get_added_vocab())
    assert wrapper.processor.image_token in names
    plain = make_sample(wrapper, ['thing'])
    for name in names:
        sample = make_sample(wrapper, [f'thing {name}'])
        added = sample.input_ids[len(plain.input_ids) :]
        assert not set(added.tolist()) & {wrapper.tokenizer.convert_tokens_to_ids(name) for name in names}
        processed = wrapper.preprocess(sample.image, prompt=f'{name} what is it?')
        reference = wrapper.preprocess(sample.image, prompt='what is it?')
        for special in names:
            token_id = wrapper.tokenizer.convert_tokens_to_ids(special)
            assert (processed.input_ids == token_id).sum() == (reference.input_ids == token_id).sum(), (name, special)
        assert torch.equal(processed.views[-1].layout.tokens, reference.views[-1].layout.tokens)


@families
def test_number_of_image_tokens_bounds_that_of_any_image(model_type):
    wrapper = build_wrapper(model_type)
    for size in ((100, 160), (300, 60), (64, 640), (500, 501)):
        image = Image.fromarray(np.zeros((*size, 3), dtype=np.uint8))
        found = wrapper.preprocess(image, prompt='')
        assert (found.input_ids == wrapper.image_token_id).sum() <= wrapper.num_image_tokens(*size)


@pytest.mark.parametrize(
    ('model_type', 'other', 'found', 'expected'),
    [
        ('llava', 'llava_next', "['image_sizes', 'pixel_values']", "['pixel_values']"),
        ('llava_next', 'llava', "['pixel_values']", "['image_sizes', 'pixel_values']"),
        ('deepseek_vl', 'deepseek_vl_hybrid', "['high_res_pixel_values', 'pixel_values']", "['pixel_values']"),
        ('deepseek_vl_hybrid', 'deepseek_vl', "['pixel_values']", "['high_res_pixel_values', 'pixel_values']"),
        ('qwen2_vl', 'llava', "['pixel_values']", "['image_grid_thw', 'pixel_values']"),
    ],
)
def test_a_sample_for_another_lmm_is_refused(model_type, other, found, expected):
    message = f"was processed to {found}, the model reads {expected}; use the model's own processor"
    with pytest.raises(ValueError, match=re.escape(message)):
        build_grounder(model_type).run_lmm([make_sample(build_wrapper(other), ['a'])])


@families
def test_a_tokenizer_without_the_image_token_is_refused(model_type):
    processor = TINY[model_type].processor(model_type)
    kind = type(build_wrapper(model_type))
    processor.image_token_id = processor.tokenizer('x')['input_ids'][-1]  # what processors take an unknown token for
    with pytest.raises(
        ValueError, match=f'the tokenizer lacks .* image token {re.escape(repr(processor.image_token))}'
    ):
        kind(pretrained_model_name_or_path=processor, **TINY[model_type].image_processor)


@pytest.mark.parametrize(
    ('model_type', 'other', 'found'),
    [
        ('qwen2_5_vl', 'qwen3_vl', 'patches of 1536 numbers, the model reads 1176 (14 px)'),
        ('qwen3_vl', 'qwen2_vl', 'patches of 1176 numbers, the model reads 1536 (16 px)'),
        ('qwen3_5', 'qwen2_5_vl', 'patches of 1176 numbers, the model reads 1536 (16 px)'),
    ],
)
def test_patches_of_another_size_are_refused(model_type, other, found):
    message = f"image 'random_0.jpg' was cut into {found}; use the model's own processor"
    with pytest.raises(ValueError, match=re.escape(message)):
        build_grounder(model_type).run_lmm([make_sample(build_wrapper(other), ['a'])])


def test_another_number_of_tiles_is_refused():
    wrapper = build_wrapper('llava_next')
    wrapper.processor.image_processor.image_grid_pinpoints = wrapper.resolutions = [[336, 336]]
    message = (
        "image 'random_0.jpg' was cut into 2 squares, the base view included, the model expects 3; image_grid_pinpoints"
    )
    with pytest.raises(ValueError, match=message):
        build_grounder('llava_next').run_lmm([make_sample(wrapper, ['a'])])
