"""Captured attention and hidden states against what the stock model returns when it keeps everything."""

from types import SimpleNamespace

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_models import FAMILIES, tiny_lmm, tiny_processor
from tiny_samples import is_image, stock_inputs, tiny_batch

from flmm.models.attention_capture import AttentionCapture, PackedTexts
from flmm.reading import Prefix


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('merge', ['mean', 'max'])
def test_features_equal_the_eager_model_with_everything_kept(family, merge):
    samples = tiny_batch(family, independent=False)
    features = tiny_grounder(family, merge=merge).encode(samples)

    eager = tiny_lmm(family)
    eager.set_attn_implementation('eager')
    for sample, found in zip(samples, features, strict=True):
        with torch.no_grad():
            outputs = eager(**stock_inputs(sample), output_attentions=True, output_hidden_states=True)
        attentions = torch.cat(outputs.attentions, dim=1)[0]
        image_columns = is_image(sample)
        for mask_id in range(sample.num_masks):
            of_tokens = attentions[:, sample.mask_ids == mask_id][:, :, image_columns]
            expected = of_tokens.mean(dim=1) if merge == 'mean' else of_tokens.amax(dim=1)
            torch.testing.assert_close(found.attentions[mask_id].flatten(1), expected, atol=1e-5, rtol=0)
        hidden = torch.stack(outputs.hidden_states[1:])[:, 0, sample.mask_ids >= 0]
        torch.testing.assert_close(found.hidden_states, hidden, atol=1e-4, rtol=1e-5)
        assert sample.tokens_per_mask == [(sample.mask_ids == i).sum().item() for i in range(sample.num_masks)]


def test_channel_is_layer_times_heads_plus_head_and_grid_is_row_major():
    (sample, *_) = tiny_batch(independent=False)
    (found,) = tiny_grounder().encode([sample])
    eager = tiny_lmm()
    eager.set_attn_implementation('eager')
    with torch.no_grad():
        attentions = eager(**stock_inputs(sample), output_attentions=True).attentions
    layer, head, row, column = 1, 2, 3, 4
    first_image_token = is_image(sample).nonzero()[0].item()
    token = first_image_token + row * sample.grid_size[1] + column
    (phrase_row,) = (sample.mask_ids == 0).nonzero()[0].tolist()
    expected = attentions[layer][0, head, phrase_row, token]
    torch.testing.assert_close(found.attentions[0, layer * 4 + head, row, column], expected, atol=1e-6, rtol=0)
    assert found.attentions.shape == (2, 2 * 4, *sample.grid_size)


def test_the_model_output_is_that_of_plain_sdpa():
    (sample, *_) = tiny_batch()
    model = tiny_grounder()
    with torch.no_grad():
        plain = tiny_lmm().model(**stock_inputs(sample)).last_hidden_state
        captured = model.lmm.model(**stock_inputs(sample)).last_hidden_state
    assert torch.equal(plain, captured)


def plain_attention(queries, keys, values):
    """softmax(q k^T / 2) v of one token over all keys, in float64: [D], and the weights."""
    weights = (keys.double() @ queries.double() * 0.5).softmax(dim=0)
    return weights @ values.double(), weights


@pytest.mark.parametrize('merge', ['mean', 'max'])
@pytest.mark.parametrize('heads', [list(range(6)), [1], [0, 2, 3, 5]])
def test_capture_against_a_float64_oracle(heads, merge):
    """Two prefixes; behind the first two texts of which the second has two phrases and a token of none."""
    generator = torch.Generator().manual_seed(0)

    def draw(count, length):
        return torch.randn(1, count, length, 8, generator=generator)

    def prefix(length):
        keys, values = ([draw(2, length) for _ in range(2)] for _ in range(2))
        return Prefix(input_ids=torch.zeros(length), keys=keys, values=values, states=[None] * 2, next_position=9)

    texts = [  # prefix, image columns, lengths, phrase of each token
        (prefix(5), [1, 2, 4], [2, 4], [0, 0, 2, -1, 1, 2]),
        (prefix(3), [0, 1], [1], [0]),
    ]
    groups = [
        PackedTexts(prefix=each, image_columns=torch.tensor(columns), lengths=lengths, mask_ids=torch.tensor(ids))
        for each, columns, lengths, ids in texts
    ]
    assert groups[0].positions.tolist() == [9, 10, 9, 10, 11, 12]
    capture = AttentionCapture(groups=groups, merge=merge, heads={0: heads})
    query, key, value = draw(6, 7), draw(2, 7), draw(2, 7)
    module = SimpleNamespace(layer_idx=0, num_key_value_groups=3, is_causal=True, training=False)
    output = capture.attend(module, query, key, value, scaling=0.5)
    module.layer_idx = 1  # not to be read
    capture.attend(module, query, key, value, scaling=0.5)

    begins = [(0, 0), (0, 0), (0, 2), (0, 2), (0, 2), (0, 2), (1, 6)]  # which prefix, and where the text begins
    weights = {}
    for place, (number, begin) in enumerate(begins):
        before = texts[number][0]
        for head in range(6):
            of_key = head // 3
            own = slice(begin, place + 1)
            keys = torch.cat([before.keys[0][0, of_key], key[0, of_key, own]])
            values = torch.cat([before.values[0][0, of_key], value[0, of_key, own]])
            expected, weights[place, head] = plain_attention(query[0, head, place], keys, values)
            torch.testing.assert_close(output[0, place, head].double(), expected, atol=1e-6, rtol=0)
    reduce = {'mean': lambda rows: rows.mean(dim=0), 'max': lambda rows: rows.amax(dim=0)}[merge]
    for (_, columns, _, _), phrases, maps in zip(texts, ([(0, 1), (4,), (2, 5)], [(6,)]), capture.maps(), strict=True):
        expected = [
            torch.stack([reduce(torch.stack([weights[place, head][columns] for place in rows])) for head in heads])
            for rows in phrases
        ]
        torch.testing.assert_close(maps.double(), torch.stack(expected), atol=1e-6, rtol=0)


def test_hooks_are_gone_after_the_forward():
    model = tiny_grounder()
    model.encode(tiny_batch()[:1])
    decoder = model.lmm.model.language_model
    assert not any(module._forward_hooks for module in [*decoder.layers, decoder.norm])


def test_tiny_processor_and_model_share_the_image_token():
    assert tiny_processor().image_token_id == tiny_lmm().config.image_token_id
