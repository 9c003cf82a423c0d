"""Captured attention and hidden states against what the stock model returns when it keeps everything."""

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_models import FAMILIES, tiny_lmm, tiny_processor
from tiny_samples import is_image, stock_inputs, tiny_batch

from flmm.models.attention_capture import AttentionCapture, PhraseTokens


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('merge', ['mean', 'max'])
def test_features_equal_the_eager_model_with_everything_kept(family, merge):
    samples = tiny_batch(family)
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
    (sample, *_) = tiny_batch()
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


@pytest.mark.parametrize('heads', [list(range(6)), [1], [0, 2, 3, 5]])
def test_capture_against_a_float64_oracle(heads):
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, count, 7, 8, generator=generator) for count in (6, 2))
    tokens = PhraseTokens.from_mask_ids(
        torch.tensor([-1, -1, -1, -1, 0, 0, 1]), image_columns=torch.tensor([1, 2, 3]), num_masks=2
    )
    capture = AttentionCapture(phrases=[tokens], merge='mean', heads={0: heads})
    capture.record(0, query, key, 0.5)
    capture.record(1, query, key, 0.5)  # not to be read
    (found,) = capture.maps()

    expected = torch.zeros(2, 6, 3, dtype=torch.float64)
    for head in range(6):
        for row, mask_id in ((4, 0), (5, 0), (6, 1)):
            logits = key[0, head // 3, : row + 1].double() @ query[0, head, row].double() * 0.5
            expected[mask_id, head] += logits.softmax(dim=0)[1:4] / (2 if mask_id == 0 else 1)
    torch.testing.assert_close(found.double(), expected[:, heads], atol=1e-6, rtol=0)


def test_hooks_are_gone_after_the_forward():
    model = tiny_grounder()
    model.encode(tiny_batch()[:1])
    decoder = model.lmm.model.language_model
    assert not any(module._forward_hooks for module in [*decoder.layers, decoder.norm])


def test_tiny_processor_and_model_share_the_image_token():
    assert tiny_processor().image_token_id == tiny_lmm().config.image_token_id
