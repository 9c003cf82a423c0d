"""Images and prompts in a batch, against the cache of the stock model, sequence by sequence."""

import pytest
import torch
from tiny_families import TINY, build_grounder, make_batch, stock_inputs
from transformers import DynamicCache

from flmm.families import FAMILIES
from flmm.models.prefix_cache import CACHE
from flmm.models.prompt_pass import read_prompts

DEPTHS = [1, 2, 3]


@pytest.fixture(scope='module', params=FAMILIES)
def read(request):
    """The samples, the model, and for each sample the stock model's cache behind the prompt and its next position."""
    model_type = request.param
    samples, model = make_batch(model_type), build_grounder(model_type, num_layers=3 + (model_type == 'qwen3_5'))
    stock, expected = TINY[model_type].lmm(model_type, layers=model.num_layers), []
    for sample in samples:
        alone = sample.with_outputs(
            input_ids=sample.input_ids[: sample.prompt_length], mask_ids=sample.mask_ids[: sample.prompt_length]
        )
        cache = DynamicCache(config=stock.config.get_text_config())
        with torch.no_grad():
            stock(**stock_inputs(model_type, alone), use_cache=True, **{CACHE: cache})
        deltas = getattr(stock.model, 'rope_deltas', None)
        expected.append((cache, sample.prompt_length + (0 if deltas is None else int(deltas))))
    return model_type, samples, model, expected


def passes(model_type, samples, model, depth):
    """A layer without attention would carry padding on: then one by one."""
    batches = [[sample] for sample in samples] if model_type == 'qwen3_5' else [samples]
    return [prefix for batch in batches for prefix in read_prompts(model, batch, depth=depth)]


@pytest.mark.parametrize('depth', DEPTHS)
def test_keys_values_states_and_the_next_position_are_those_of_the_stock_model(read, depth):
    model_type, samples, model, expected = read
    with torch.no_grad():
        found = passes(model_type, samples, model, depth)
    for sample, prefix, (cache, next_position) in zip(samples, found, expected, strict=True):
        assert prefix.input_ids.tolist() == sample.input_ids[: sample.prompt_length].tolist()
        assert prefix.next_position == next_position
        assert len(prefix.keys) == len(prefix.values) == len(prefix.states) == depth
        for layer, (key, value, state) in enumerate(zip(prefix.keys, prefix.values, prefix.states, strict=True)):
            stock = cache.layers[layer]
            if state is None:
                torch.testing.assert_close(key, stock.keys, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(value, stock.values, atol=1e-4, rtol=1e-4)
            else:
                assert key is value is None
                for kind in ('conv_states', 'recurrent_states'):
                    (own,), (others,) = (list(getattr(each, kind).values()) for each in (state, stock))
                    torch.testing.assert_close(own, others, atol=1e-4, rtol=1e-4)
        assert prefix.carries == (model_type == 'qwen3_5')


def test_keys_of_a_prefix_that_is_cropped_are_those_of_its_beginning(read):
    _, samples, model, expected = read
    with torch.no_grad():
        (prefix,) = read_prompts(model, samples[:1], depth=2)
    length = int(samples[0].views[-1].columns.max()) + 1
    if prefix.carries:
        with pytest.raises(ValueError, match='layers that carry a state cannot be cropped; read its beginning again'):
            prefix.cropped(length)
        return
    cropped = prefix.cropped(length)
    assert cropped.next_position == expected[0][1] - (samples[0].prompt_length - length)
    assert cropped.num_bytes == prefix.num_bytes * length // samples[0].prompt_length
    for whole, part in zip((*prefix.keys, *prefix.values), (*cropped.keys, *cropped.values), strict=True):
        assert torch.equal(part, whole[:, :, :length])
        assert part.data_ptr() == whole.data_ptr()


def test_a_picture_in_several_samples_goes_through_the_vision_part_once(read, monkeypatch):
    model_type, samples, model, _ = read
    same = samples[0].with_outputs(prompt_length=samples[0].prompt_length - 2)
    seen, image_features = [], model.image_features
    monkeypatch.setattr(model, 'image_features', lambda given: seen.append(len(given)) or image_features(given))
    with torch.no_grad():
        if model_type == 'qwen3_5':
            read_prompts(model, samples[:1], depth=1)
            assert seen == [1]
            return
        first, other, second = read_prompts(model, [samples[0], samples[1], same], depth=1)
    assert seen == [2]
    length = len(second.input_ids)
    torch.testing.assert_close(second.keys[0], first.keys[0][:, :, :length], atol=1e-5, rtol=0)
    assert len(other.input_ids) == samples[1].prompt_length
