"""Reading some heads only: the same maps as those of all heads, and no layer run for nothing."""

import re

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_models import FAMILIES, tiny_lmm
from tiny_samples import stock_inputs, tiny_batch

from flmm.models.head_selection import attention_layers, choose_heads


def test_choose_heads():
    sizes = {'attention_layers': [0, 1, 2], 'num_heads': 2}
    assert choose_heads(**sizes) == {0: [0, 1], 1: [0, 1], 2: [0, 1]}
    assert choose_heads(**sizes, layers=[2, 0]) == {0: [0, 1], 2: [0, 1]}
    assert choose_heads(**sizes, heads=[[2, 1], (0, 1), (0, 0)]) == {0: [0, 1], 2: [1]}


@pytest.mark.parametrize(
    ('chosen', 'message'),
    [
        ({'layers': [0], 'heads': [(0, 0)]}, 'layers and heads are both given'),
        ({'layers': []}, 'no head is chosen'),
        ({'heads': []}, 'no head is chosen'),
        (
            {'layers': [3]},
            'head (3, 0) does not exist; expected (layer, head) with layer one of [0, 1, 2] and head below 2',
        ),
        ({'layers': [-1]}, 'head (-1, 0) does not exist'),
        ({'heads': [(0, 2)]}, 'head (0, 2) does not exist'),
        ({'heads': [(0, 1, 1)]}, 'head (0, 1, 1) does not exist'),
        ({'heads': [(1, 1), (0, 0), (1, 1)]}, 'heads [(1, 1)] are chosen more than once'),
        ({'layers': [1, 1]}, 'heads [(1, 0), (1, 1)] are chosen more than once'),
    ],
)
def test_what_cannot_be_chosen_is_named(chosen, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_heads(attention_layers=[0, 1, 2], num_heads=2, **chosen)


@pytest.mark.parametrize('family', [family for family in FAMILIES if family != 'qwen3_5'])  # see test_frozen_qwen3
@pytest.mark.parametrize(
    ('chosen', 'channels', 'depth'),
    [
        ({'heads': [(1, 3), (0, 1), (1, 0)]}, [1, 4, 7], 2),
        ({'layers': [1]}, [4, 5, 6, 7], 2),
        ({'heads': [(0, 2)]}, [2], 1),
        ({'layers': [0]}, [0, 1, 2, 3], 1),
    ],
)
def test_chosen_heads_are_those_of_all(family, chosen, channels, depth):
    samples = tiny_batch(family)
    model = tiny_grounder(family, **chosen)
    layers = model.lmm.model.language_model.layers
    ran = []
    for index, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))

    found = model.encode(samples)

    assert ran == 2 * list(range(depth))  # for the prompts, then for the phrases
    assert model.lmm.model.language_model.layers is layers
    assert model.mask_head.state_dict()['encoder.0.0.convs.0.conv.weight'].shape[1] == len(channels)
    assert model.text_layer_weights.shape == (depth,)
    for some, everything in zip(found, tiny_grounder(family).encode(samples), strict=True):
        torch.testing.assert_close(some.attentions, everything.attentions[:, channels], atol=1e-6, rtol=0)
        torch.testing.assert_close(some.hidden_states, everything.hidden_states[:depth], atol=1e-6, rtol=0)
    losses = model(samples, mode='loss')
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())


def test_hidden_states_before_the_last_layer_are_not_normed():
    (sample, *_) = tiny_batch(independent=False)
    (found,) = tiny_grounder(layers=[0]).encode([sample])
    with torch.no_grad():
        hidden = tiny_lmm()(**stock_inputs(sample), output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(found.hidden_states[0], hidden[0, sample.mask_ids >= 0], atol=1e-5, rtol=1e-5)


def test_all_layers_are_back_after_an_error():
    model = tiny_grounder(layers=[0])
    model.lmm.model.language_model.layers[0].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.encode(tiny_batch()[:1])
    assert len(model.lmm.model.language_model.layers) == 2


@pytest.mark.parametrize('kind', ['chunked_attention', 'conv'])
def test_layers_of_an_unknown_kind_are_refused(kind):
    lmm = tiny_lmm('qwen2_5_vl')
    lmm.config.get_text_config().layer_types = ['full_attention', kind]
    message = rf"lmm has layers of \['{kind}'\], which cannot be read; give an LMM of full or linear attention"
    with pytest.raises(ValueError, match=message):
        attention_layers(lmm.config.get_text_config())
