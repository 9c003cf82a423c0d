"""What transformers promises of its models: the adaptive ones keep it, and the stock ones prove the check.

A stock class reads dense images here, its adaptive subclass images of coarse layouts.
"""

import copy
import inspect
import json
import pickle

import pytest
import torch
from tiny_adaptive import (
    MODELS,
    adaptive_lmm,
    layout_inputs,
)
from tiny_layouts import random_layout
from tiny_models import FAMILIES, tiny_lmm
from transformers import AutoModelForImageTextToText

from flmm.apt.layout import TokenLayout

LAYOUT = ('image_layout', 'image_num_tokens')
KINDS = [(family, kind) for family in FAMILIES for kind in ('stock', 'adaptive')]
COARSE = [['a', random_layout((5, 6), seed=1), 'b'], ['no image'], [random_layout((4, 4), seed=3), '?']]
DENSE = [['a', TokenLayout.dense((3, 4)), 'b'], ['no image'], [TokenLayout.dense((2, 2)), '?']]


def build_model(family, kind):
    return adaptive_lmm(family) if kind == 'adaptive' else tiny_lmm(family)


def build_inputs(family, kind, **settings):
    inputs = layout_inputs(COARSE if kind == 'adaptive' else DENSE, family=family, **settings)
    return inputs if kind == 'adaptive' else {name: value for name, value in inputs.items() if name not in LAYOUT}


@pytest.fixture(scope='module', params=KINDS, ids='-'.join)
def case(request):
    """Each model is built once; a test that changes it makes a copy."""
    family, kind = request.param
    return build_model(family, kind), build_inputs(family, kind), kind


@torch.no_grad()
def logits_of(model, inputs, **settings):
    return model(**inputs, **settings).logits


@pytest.mark.parametrize('max_shard_size', ['1GB', '20KB'])
def test_a_saved_model_gives_the_same_logits(case, max_shard_size, tmp_path):
    model, inputs, _ = case
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / 'model.safetensors.index.json').exists() == (max_shard_size == '20KB')
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(model)
    assert not any(info.values())
    assert torch.equal(logits_of(loaded, inputs), logits_of(model, inputs))


def test_a_saved_model_is_one_of_the_stock_class(case, tmp_path):
    model, _, _ = case
    stock = type(tiny_lmm(model.config.model_type))
    for saved, name in (
        (model, stock.__name__),
        (model.model, stock.__name__.replace('ForConditionalGeneration', 'Model')),
    ):
        saved.save_pretrained(tmp_path)
        assert json.loads((tmp_path / 'config.json').read_text())['architectures'] == [name]
        assert saved.config.architectures == [name]
        assert type(saved).__name__ in (name, f'Adaptive{name}')
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(loaded) is stock
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_model_is_loaded_in_another_dtype(case, tmp_path):
    model, inputs, _ = case
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, dtype='bfloat16')
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name).bfloat16()), name
    present = inputs['attention_mask'].bool()
    error = (logits_of(loaded, inputs).float() - logits_of(model, inputs))[present].abs().mean()
    assert 0 < error < 0.05


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_gives_the_same_logits(case, copied):
    model, inputs, _ = case
    assert torch.equal(logits_of(copied(model), inputs), logits_of(model, inputs))


def test_an_output_is_a_tuple_where_asked_for(case):
    model, inputs, _ = case
    with torch.no_grad():
        for run in (model, model.model):
            as_dict, as_tuple = (
                run(**inputs, return_dict=return_dict, output_hidden_states=True) for return_dict in (True, False)
            )
            assert isinstance(as_tuple, tuple)
            images = as_dict.get('image_outputs')  # transformers gives them since 5.24
            assert len(as_tuple) == len(as_dict.to_tuple()) == 3 + (images is not None)
            assert images is None or torch.equal(as_tuple[3][0], images[0])
            assert torch.equal(as_tuple[0], as_dict[0])
            assert all(map(torch.equal, as_tuple[2], as_dict.hidden_states))


def test_features_are_a_tuple_where_asked_for_or_configured(case):
    model, inputs, _ = case
    model = copy.deepcopy(model)
    images = {name: inputs[name] for name in ('pixel_values', 'image_grid_thw', *LAYOUT) if name in inputs}
    with torch.no_grad():
        for run in (model, model.model):
            expected = run.get_image_features(**images)
            for configured, asked, is_tuple in (
                (True, {}, False),
                (True, {'return_dict': None}, False),
                (True, {'return_dict': False}, True),
                (False, {}, True),
                (False, {'return_dict': None}, True),
                (False, {'return_dict': True}, False),
            ):
                model.config.return_dict = configured
                found = run.get_image_features(**images, **asked)
                assert isinstance(found, tuple) == is_tuple
                pooled = found[1] if is_tuple else found.pooler_output
                assert all(map(torch.equal, pooled, expected.pooler_output))
            model.config.return_dict = True


def test_hidden_states_and_attentions_have_their_shapes(case):
    model, inputs, _ = case
    model = copy.deepcopy(model)
    expected = logits_of(model, inputs)
    model.set_attn_implementation('eager')
    with torch.no_grad():
        found = model(**inputs, output_hidden_states=True, output_attentions=True)
    (batch, length), text = inputs['input_ids'].shape, model.config.text_config
    assert [tuple(each.shape) for each in found.hidden_states] == [(batch, length, text.hidden_size)] * 3
    # A layer of Qwen3.5 without attention gives none.
    with_attention = getattr(text, 'layer_types', ['full_attention'] * 2).count('full_attention')
    expected_shape = (batch, text.num_attention_heads, length, length)
    assert [tuple(each.shape) for each in found.attentions] == [expected_shape] * with_attention
    present = inputs['attention_mask'].bool()
    torch.testing.assert_close(found.logits[present], expected[present], atol=1e-4, rtol=1e-4)


def test_greedy_generation_with_a_cache_is_that_without(case):
    model, inputs, _ = case
    settings = {'max_new_tokens': 3, 'do_sample': False, 'suppress_tokens': list(range(256, 263))}
    assert torch.equal(
        model.generate(**inputs, **settings, use_cache=True), model.generate(**inputs, **settings, use_cache=False)
    )


def test_padding_on_either_side_gives_the_same_logits(case):
    model, left, kind = case
    right = build_inputs(model.config.model_type, kind, padding_side='right')
    found, expected = (logits_of(model, each)[each['attention_mask'].bool()] for each in (right, left))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_embeddings_may_stand_for_ids(case):
    model, inputs, _ = case
    inputs = dict(inputs)
    expected = logits_of(model, inputs)
    places = {name: value for name, value in inputs.items() if name not in ('input_ids', 'pixel_values')}
    positions, _ = model.model.get_rope_index(inputs['input_ids'], **places)
    inputs['inputs_embeds'] = model.get_input_embeddings()(inputs.pop('input_ids'))
    torch.testing.assert_close(logits_of(model, inputs, position_ids=positions), expected, atol=1e-5, rtol=1e-5)


def test_the_last_logits_alone_are_those_of_all(case):
    model, inputs, _ = case
    torch.testing.assert_close(logits_of(model, inputs, logits_to_keep=1), logits_of(model, inputs)[:, -1:])


# Its name changes in the next major version.
@pytest.mark.filterwarnings('ignore:`gradient_checkpointing_enable` is deprecated')
def test_gradient_checkpointing_changes_no_gradient(case):
    model, inputs, _ = case
    gradients = []
    for checkpointing in (False, True):
        trained = copy.deepcopy(model).train()
        if checkpointing:
            trained.gradient_checkpointing_enable()
        trained(**inputs, labels=inputs['input_ids'], use_cache=False).loss.backward()
        gradients.append({name: each.grad for name, each in trained.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_resized_embeddings_keep_the_logits_of_known_tokens(case):
    model, inputs, _ = case
    resized = copy.deepcopy(model)
    size = resized.config.text_config.vocab_size
    resized.resize_token_embeddings(size + 10)
    assert resized.get_input_embeddings().num_embeddings == resized.lm_head.out_features == size + 10
    assert resized.config.text_config.vocab_size == size + 10
    torch.testing.assert_close(logits_of(resized, inputs)[..., :size], logits_of(model, inputs))


def test_tied_weights_stay_tied_when_saved(case, tmp_path):
    model, inputs, _ = case
    config = copy.deepcopy(model.config)
    config.tie_word_embeddings = True
    tied = type(model)(config).eval()
    tied.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    for each in (tied, loaded):
        assert each.lm_head.weight.data_ptr() == each.get_input_embeddings().weight.data_ptr()
    assert torch.equal(logits_of(loaded, inputs), logits_of(tied, inputs))


def test_another_number_of_placeholders_than_features_is_refused(case):
    model, inputs, kind = case
    ids = inputs['input_ids'].clone()
    ids[0, (ids[0] == model.config.image_token_id).nonzero()[0]] = 5
    wrong = inputs | {'input_ids': ids, 'mm_token_type_ids': (ids == model.config.image_token_id).int()}
    message = 'image placeholders, the image layouts' if kind == 'adaptive' else 'do not match|shape mismatch'
    with pytest.raises((ValueError, RuntimeError), match=message):
        model(**wrong)


def arguments(function):
    *parameters, others = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default, each.annotation) for each in parameters], others


@pytest.mark.parametrize('family', FAMILIES)
def test_methods_of_the_models_have_the_stock_arguments_at_the_stock_places(family):
    stock = tiny_lmm(family)
    adaptive = MODELS[family](stock.config)
    changed = {'forward', 'get_image_features', 'get_rope_index'}
    for found, expected in ((adaptive, stock), (adaptive.model, stock.model)):
        for name, method in inspect.getmembers(type(expected), inspect.isroutine):
            if name.startswith('_'):
                continue
            ours = getattr(type(found), name)
            if name not in changed:
                assert inspect.signature(ours) == inspect.signature(method), name
                continue
            theirs, others = arguments(method)
            assert arguments(ours)[0][: len(theirs)] == theirs
            assert [(each[0], each[2]) for each in arguments(ours)[0][len(theirs) :]] == [
                (name, None) for name in LAYOUT
            ]
            assert arguments(ours)[1] == others
            assert ours.__annotations__.items() >= method.__annotations__.items()


def test_arguments_may_come_by_position(case):
    model, inputs, _ = case
    layout = {name: inputs[name] for name in LAYOUT if name in inputs}
    with torch.no_grad():
        for run in (model.model, model):
            order = list(inspect.signature(run.forward).parameters)
            placed = [inputs.get(name) for name in order[: order.index('mm_encoder_outputs')]]
            if run is model:
                placed[order.index('logits_to_keep')] = 0
            assert torch.equal(run(*placed, None, **layout)[0], run(**inputs)[0])
        order = list(inspect.signature(model.model.get_rope_index).parameters)
        order = order[: order.index('attention_mask') + 1]
        found = model.model.get_rope_index(*(inputs.get(name) for name in order), **layout)
        expected = model.model.get_rope_index(**{name: inputs.get(name) for name in order}, **layout)
        assert all(map(torch.equal, found, expected))
        found = model.get_image_features(inputs['pixel_values'], inputs['image_grid_thw'], **layout).pooler_output
        assert sum(map(len, found)) == int((inputs['mm_token_type_ids'] == 1).sum())
    with pytest.raises(TypeError, match=r'by position|positional arguments'):
        model.model.get_rope_index(*[None] * 9)
    with pytest.raises(TypeError, match=r"multiple values for (keyword )?argument 'input_ids'"):
        model.model.get_rope_index(inputs['input_ids'], input_ids=inputs['input_ids'])
