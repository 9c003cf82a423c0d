"""Adaptive Qwen models: equality with the stock ones, padding, generation, checkpoints, errors."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_adaptive import COARSE, DENSE, MODELS, adaptive_lmm, layout_inputs, layouts_of, plain_positions, with_video
from tiny_models import FAMILIES, tiny_lmm

from flmm.apt.layout import TokenLayout
from flmm.models.prefix_cache import CACHE
from flmm.qwen.layout_inputs import image_features

# Random weights may well write the placeholder of a video, which the next full pass would look for.
BYTES_ALONE = {'suppress_tokens': list(range(256, 263))}
STOCK_INPUTS = ('input_ids', 'attention_mask', 'mm_token_type_ids', 'pixel_values', 'image_grid_thw')


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('samples', [DENSE, [['a', TokenLayout.dense((11, 3)), 'b']], [[TokenLayout.dense((1, 1))]]])
def test_dense_layouts_and_no_layout_give_the_stock_logits_to_the_bit(family, samples):
    inputs = layout_inputs(samples, family=family)
    stock_inputs = {name: inputs[name] for name in STOCK_INPUTS}
    model = adaptive_lmm(family)
    with torch.no_grad():
        expected = tiny_lmm(family)(**stock_inputs).logits
        assert torch.equal(model(**stock_inputs).logits, expected)
        assert torch.equal(model(**inputs).logits, expected)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_dense_layout_beside_a_video_gives_the_stock_logits_and_loss(family):
    inputs = with_video(layout_inputs(DENSE, family=family), family=family)
    layout = {name: inputs.pop(name) for name in ('image_layout', 'image_num_tokens')}
    if family == 'qwen2_5_vl':
        inputs['second_per_grid_ts'] = torch.tensor([1.5])
    with torch.no_grad():
        expected = tiny_lmm(family)(**inputs, labels=inputs['input_ids'])
        found = adaptive_lmm(family)(**inputs, **layout, labels=inputs['input_ids'])
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.loss, expected.loss)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('padding_side', ['left', 'right'])
def test_padding_changes_no_logits(family, padding_side):
    model = adaptive_lmm(family)
    inputs = layout_inputs(COARSE, family=family, padding_side=padding_side)
    with torch.no_grad():
        together = model(**inputs).logits
        for sample, logits, mask in zip(COARSE, together, inputs['attention_mask'].bool(), strict=True):
            alone = layout_inputs([sample], family=family)
            alone.pop('attention_mask')
            torch.testing.assert_close(logits[mask], model(**alone).logits[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('video', [False, True])
def test_greedy_generation_equals_full_forward_passes(family, video):
    model = adaptive_lmm(family)
    inputs = layout_inputs(COARSE, family=family)
    if video:
        inputs = with_video(inputs, family=family)
    settings = {'max_new_tokens': 6, 'do_sample': False, **BYTES_ALONE}
    cached = model.generate(**inputs, **settings)
    assert torch.equal(cached, model.generate(**inputs, **settings, use_cache=False))
    grown = dict(inputs)
    for _ in range(6):
        with torch.no_grad():
            following = model(**grown).logits[:, -1, :256].argmax(-1, keepdim=True)
        for name, added in (('input_ids', following), ('attention_mask', 1), ('mm_token_type_ids', 0)):
            grown[name] = torch.cat([grown[name], torch.zeros_like(grown[name][:, :1]) + added], dim=1)
    assert torch.equal(cached, grown['input_ids'])


@pytest.mark.parametrize('family', FAMILIES)
def test_a_cache_built_by_hand_gives_the_logits_of_the_full_pass(family):
    model, inputs = adaptive_lmm(family), layout_inputs([COARSE[0]], family=family)
    inputs.pop('attention_mask')
    length = inputs['input_ids'].shape[1] - 4
    text = ('input_ids', 'mm_token_type_ids')
    with torch.no_grad():
        expected = model(**inputs).logits
        prompt = model(**inputs | {name: inputs[name][:, :length] for name in text}, use_cache=True)
        rest = {name: inputs[name][:, length:] for name in text}
        layout = {name: inputs[name] for name in ('image_grid_thw', 'image_layout', 'image_num_tokens')}
        following = model(**rest, **layout, **{CACHE: prompt[CACHE]}).logits
    torch.testing.assert_close(torch.cat([prompt.logits, following], dim=1), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('family', FAMILIES)
def test_beams_and_several_samples_keep_the_images_of_their_prompts(family):
    model, batch = adaptive_lmm(family), layout_inputs(COARSE, family=family)
    length = batch['input_ids'].shape[1]
    new = {'max_new_tokens': 5, 'pad_token_id': 0, **BYTES_ALONE}
    beams = model.generate(**batch, num_beams=2, do_sample=False, **new)[:, length:]
    greedy = model.generate(**batch, do_sample=False, **new)
    sampled = model.generate(**batch, do_sample=True, top_k=1, num_return_sequences=2, **new)
    assert torch.equal(sampled, greedy.repeat_interleave(2, dim=0))
    for sample, found in zip(COARSE, beams, strict=True):
        alone = layout_inputs([sample], family=family)
        expected = model.generate(**alone, num_beams=2, do_sample=False, **new)[0, alone['input_ids'].shape[1] :]
        assert torch.equal(found, expected)
    for _ in range(2):
        torch.manual_seed(0)
        sampled, before = model.generate(**batch, do_sample=True, num_return_sequences=2, **new), sampled
    assert torch.equal(sampled, before)


@pytest.mark.parametrize('family', FAMILIES)
def test_text_alone_is_read_as_by_the_stock_model(family):
    inputs = {'input_ids': torch.arange(2, 14).view(2, 6), 'attention_mask': torch.ones(2, 6, dtype=torch.long)}
    stock, model = tiny_lmm(family), adaptive_lmm(family)
    settings = {'max_new_tokens': 4, 'do_sample': False, **BYTES_ALONE}
    model.generate(**layout_inputs(COARSE, family=family), **settings)  # leaves rope_deltas behind
    assert torch.equal(model.generate(**inputs, **settings), stock.generate(**inputs, **settings))
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, stock(**inputs).logits)


@pytest.mark.parametrize('family', FAMILIES)
def test_generation_with_dense_layouts_is_the_stock_one(family):
    inputs = layout_inputs(DENSE, family=family)
    settings = {'max_new_tokens': 5, 'do_sample': False, **BYTES_ALONE}
    expected = tiny_lmm(family).generate(**{name: inputs[name] for name in STOCK_INPUTS}, **settings)
    assert torch.equal(adaptive_lmm(family).generate(**inputs, **settings), expected)


@pytest.mark.parametrize('family', FAMILIES)
def test_positions_and_features_of_the_caller_are_taken(family):
    model, inputs = adaptive_lmm(family), layout_inputs(COARSE, family=family)
    positions, _ = plain_positions(inputs)
    features = image_features(model.model, inputs['pixel_values'], inputs['image_grid_thw'], layouts_of(inputs))
    with torch.no_grad():
        expected = model(**inputs).logits
        assert torch.equal(model(**inputs, position_ids=positions).logits, expected)
        assert not torch.allclose(model(**inputs, position_ids=positions.round()).logits, expected)
        del inputs['pixel_values']
        assert torch.equal(model(**inputs, mm_encoder_outputs={'image': features}).logits, expected)


@pytest.mark.parametrize('family', FAMILIES)
def test_checkpoints_are_those_of_the_stock_class(family, tmp_path):
    stock = tiny_lmm(family)
    stock.save_pretrained(tmp_path / 'stock')
    model, info = MODELS[family].from_pretrained(tmp_path / 'stock', output_loading_info=True)
    assert not any(info.values())
    assert type(model.config) is type(stock.config)
    assert model.config.architectures == [type(stock).__name__]
    model.save_pretrained(tmp_path / 'adaptive')
    tensors = [load_file(tmp_path / name / 'model.safetensors') for name in ('stock', 'adaptive')]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0].keys() | tensors[1].keys())
    again, info = type(stock).from_pretrained(tmp_path / 'adaptive', output_loading_info=True)
    assert not any(info.values())
    states = [each.state_dict() for each in (stock, model, again)]
    for state in states[1:]:
        assert all(torch.equal(states[0][name], state[name]) for name in states[0].keys() | state.keys())


@pytest.mark.parametrize('family', FAMILIES)
def test_the_same_seed_gives_the_weights_of_the_stock_class(family):
    stock = tiny_lmm(family)
    torch.manual_seed(0)
    model = MODELS[family](stock.config)
    assert all(torch.equal(value, stock.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('family', FAMILIES)
def test_bfloat16_keeps_positions_exact(family):
    model, inputs = adaptive_lmm(family).bfloat16(), layout_inputs(COARSE, family=family)
    positions, _ = plain_positions(inputs)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, model(**inputs, position_ids=positions).logits)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('image_num_tokens', lambda _: None, 'got image_layout and image_grid_thw without image_num_tokens'),
        ('image_layout', lambda _: None, 'got image_num_tokens and image_grid_thw without image_layout'),
        ('image_grid_thw', lambda _: None, 'got image_layout and image_num_tokens without image_grid_thw'),
        ('image_layout', lambda x: x[:, :2], r'image layout is \(\d+, 2\) torch.int64, expected \(tokens, 3\) long'),
        ('image_num_tokens', lambda x: x[:2], 'image_num_tokens has 2 images, image_grid_thw has 3'),
        ('image_num_tokens', lambda x: x + 1, r'image_num_tokens \[.*\] add up to \d+ tokens, image_layout has \d+'),
        ('image_grid_thw', lambda x: x * torch.tensor([2, 1, 1]), r'an image of \[2, 18, 12\] patches; .* one frame'),
        ('image_grid_thw', lambda x: x + torch.tensor([0, 1, 0]), r'an image of \[1, 19, 12\] patches; .* of 2'),
        ('image_grid_thw', lambda x: x + torch.tensor([0, 2, 0]), r'covers unit \(row 9, column 0\) 0 times'),
        ('image_grid_thw', lambda x: x - torch.tensor([0, 2, 0]), 'reaches outside the grid of 8x6 units'),
        ('image_layout', lambda x: x.flip(0), r'image layout: token 0 .* is out of order|reaches outside|covers'),
        ('pixel_values', lambda x: x[:-4], r'pixel_values has \d+ patches, the image layouts have \d+ tokens of 4'),
        ('mm_token_type_ids', lambda _: None, 'image_layout needs input_ids and mm_token_type_ids'),
        ('mm_token_type_ids', lambda x: x * (x.cumsum(1) > 1), r'runs of \[.*\] image placeholders, the image layouts'),
        ('attention_mask', lambda x: x * (x.cumsum(1) > 5), r'runs of \[.*\] image placeholders, the image layouts'),
    ],
)
def test_inputs_that_do_not_match_are_refused(family, name, change, message):
    inputs = layout_inputs(COARSE, family=family)
    inputs[name] = change(inputs[name])
    with pytest.raises(ValueError, match=message):
        adaptive_lmm(family)(**inputs)
    if name != 'mm_token_type_ids' or inputs[name] is not None:
        with pytest.raises(ValueError, match=message):
            adaptive_lmm(family).generate(**inputs, max_new_tokens=1)
