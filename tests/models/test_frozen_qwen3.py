"""What Qwen3-VL and Qwen3.5 have that Qwen2.5-VL has not: deepstack, and layers without attention."""

import re

import pytest
import torch
from tiny_families import build_grounder
from tiny_grounder import LOSSES, tiny_grounder
from tiny_models import tiny_lmm, tiny_sam
from tiny_samples import is_image, stock_inputs, tiny_batch, tiny_sample

from flmm.models import FrozenQwen3VLSAM, FrozenQwenSAM, SAMWrapper

HEAD = {'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16}


@pytest.mark.parametrize(
    ('kind', 'family', 'other'),
    [
        (FrozenQwenSAM, 'qwen3_vl', 'FrozenQwen3VLSAM'),
        (FrozenQwen3VLSAM, 'qwen2_5_vl', 'FrozenQwenSAM'),
        (FrozenQwen3VLSAM, 'qwen3_5', 'FrozenQwenSAM'),
    ],
)
def test_an_lmm_of_another_family_is_refused(kind, family, other):
    message = f"of model type '{family}'; {kind.__name__} does not run it, {other} does"
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(lmm=tiny_lmm(family), mask_head=HEAD, sam=SAMWrapper(sam=tiny_sam()), **LOSSES)


def test_a_subclass_runs_what_its_base_runs():
    own = type('Own', (FrozenQwen3VLSAM,), {})
    assert own(lmm=tiny_lmm('qwen3_vl'), mask_head=HEAD, sam=SAMWrapper(sam=tiny_sam()), **LOSSES).num_heads == 4


@pytest.mark.parametrize('layer', [0, 1])
def test_what_is_added_behind_a_layer_goes_to_the_column_of_its_token(layer):
    model, samples = tiny_grounder('qwen3_vl'), tiny_batch('qwen3_vl')[:2]
    text, seen = model.lmm.model.language_model, []
    following = [text.layers[1], text.norm][layer]
    following.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    features = model.image_features(samples)
    change = torch.zeros_like(features[1][0])
    change[7] = 1
    for number in (0, 1):
        changed = [list(image) for image in features]
        changed[1][1 + layer] = changed[1][1 + layer] + number * change
        model.image_features = lambda samples, changed=changed: changed
        model.run_lmm(samples)
    prompts = seen[::2]  # what follows each are the phrases
    difference = (prompts[1] - prompts[0]).abs().sum(-1)
    expected = torch.zeros_like(difference)
    expected[1, samples[1].views[0].columns[7]] = 32  # 1 in each of the 32 numbers of that token
    torch.testing.assert_close(difference, expected, atol=1e-4, rtol=0)


def test_maps_of_the_layers_behind_follow_what_was_added():
    model, (sample, *_) = tiny_grounder('qwen3_vl'), tiny_batch('qwen3_vl')
    (full,) = model.encode([sample])
    (features,) = model.image_features([sample])
    model.image_features = lambda samples: [[features[0], *map(torch.zeros_like, features[1:])]]
    (without,) = model.encode([sample])
    assert torch.equal(full.attentions[:, :4], without.attentions[:, :4])
    assert (full.attentions[:, 4:] - without.attentions[:, 4:]).abs().max() > 1e-3


def test_channels_are_those_of_the_layers_with_attention():
    sample = tiny_sample(['a', 'some blue circle'], family='qwen3_5', independent=False)
    model = build_grounder('qwen3_5', num_layers=5)
    assert (model.heads, model.depth, model.num_layers) == ({1: [0, 1, 2, 3], 3: [0, 1, 2, 3]}, 4, 5)
    (found,) = model.encode([sample])
    eager = tiny_lmm('qwen3_5', layers=5)
    eager.set_attn_implementation('eager')
    with torch.no_grad():
        outputs = eager(**stock_inputs(sample), output_attentions=True, output_hidden_states=True)
    attentions = torch.cat(outputs.attentions, dim=1)[0]
    for mask_id in range(2):
        expected = attentions[:, sample.mask_ids == mask_id].mean(dim=1)[:, is_image(sample)]
        torch.testing.assert_close(found.attentions[mask_id].flatten(1), expected, atol=1e-5, rtol=0)
    hidden = torch.stack(outputs.hidden_states[1:5])[:, 0, sample.mask_ids >= 0]
    assert hidden.abs().max() > 20  # not normed before the last layer
    torch.testing.assert_close(found.hidden_states, hidden, atol=2e-3, rtol=0)
    (some,) = build_grounder('qwen3_5', num_layers=5, heads=[(3, 2), (1, 1)]).encode([sample])
    torch.testing.assert_close(some.attentions, found.attentions[:, [1, 6]], atol=1e-6, rtol=0)


@pytest.mark.parametrize('chosen', [{'layers': [0]}, {'heads': [(2, 1)]}])
def test_heads_of_a_layer_without_attention_do_not_exist(chosen):
    heads = chosen.get('heads', [(0, 0)])
    with pytest.raises(ValueError, match=re.escape(f'head {heads[0]} does not exist')):
        tiny_grounder('qwen3_5', **chosen)


@pytest.mark.parametrize('length', [5, 63, 64, 65, 130])
@pytest.mark.parametrize('behind', [1, 60, 200])
def test_what_stands_behind_changes_nothing_before_it(length, behind):
    """The layers without attention read from left to right, so right padding needs no mask there, either."""
    model = tiny_lmm('qwen3_5', layers=4).model.language_model
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(256, (2, length + behind), generator=generator)
    with torch.no_grad():
        padded = model(input_ids=ids).last_hidden_state[:, :length]
        alone = model(input_ids=ids[:, :length]).last_hidden_state
    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=1e-4)  # in chunks of 64, and so in another order


def test_a_short_sample_beside_a_long_one_is_read_as_alone():
    model = build_grounder('qwen3_5', num_layers=4)
    short = tiny_sample(['a'], size=(64, 64), family='qwen3_5')
    long = tiny_sample(['some blue circle', 'b'], size=(400, 500), family='qwen3_5', seed=1)
    assert len(long.input_ids) > len(short.input_ids) + 128  # more than two chunks of 64 tokens
    (alone,), (together, _) = model.encode([short]), model.encode([short, long])
    torch.testing.assert_close(together.attentions, alone.attentions, atol=1e-6, rtol=0)
    torch.testing.assert_close(together.hidden_states, alone.hidden_states, atol=1e-5, rtol=1e-5)
