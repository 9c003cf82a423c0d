"""A batch goes through the LMM in parts, and what begins alike is read together."""

from dataclasses import replace

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_samples import tiny_batch, tiny_sample

from flmm.models import two_passes


@pytest.mark.parametrize(('limit', 'calls'), [(1, [1, 1, 1]), (10**6, [3])])
def test_a_large_batch_goes_through_the_lmm_in_parts(monkeypatch, limit, calls):
    model, samples = tiny_grounder().eval(), tiny_batch()
    expected = model(samples, mode='predict')
    sizes = []
    model.lmm.model.register_forward_hook(lambda module, args, output: sizes.append(len(output.last_hidden_state)))
    monkeypatch.setattr(two_passes, 'MAX_FORWARD_TOKENS', limit)
    for found, whole in zip(model(samples, mode='predict'), expected, strict=True):
        torch.testing.assert_close(found.mask_attentions, whole.mask_attentions, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.sam_pred_masks, whole.sam_pred_masks, atol=3e-5, rtol=1e-5)
    assert sizes == calls


def test_parts_are_as_large_as_the_limit_allows(monkeypatch):
    model, samples = tiny_grounder(), tiny_batch()
    lengths = [sample.prompt_length for sample in samples]
    monkeypatch.setattr(two_passes, 'MAX_FORWARD_TOKENS', 2 * max(lengths[:2]))
    shapes = []
    model.lmm.model.register_forward_hook(
        lambda module, args, output: shapes.append(tuple(output.last_hidden_state.shape[:2]))
    )
    model.run_lmm(samples)
    assert shapes == [(2, max(lengths[:2])), (1, lengths[2])]


@pytest.mark.parametrize('kept', [False, True])
def test_samples_whose_image_lies_elsewhere_in_the_same_tokens_are_told_apart(kept):
    """Columns are in the order of the layout; these lay the picture out from its last unit to its first."""
    model, sample = tiny_grounder(), tiny_sample(['a', 'the cat'])
    (view,) = sample.views
    turned = replace(sample, views=[replace(view, columns=view.columns.flip(0))])
    reading = model.read_image(sample) if kept else None
    given = [each.with_outputs(reading=reading) for each in (sample, turned)]
    found, found_turned = model.encode(given)
    torch.testing.assert_close(found_turned.attentions, found.attentions.flip(2, 3), atol=1e-6, rtol=0)
    (expected,) = model.encode([sample])
    torch.testing.assert_close(found.attentions, expected.attentions, atol=1e-6, rtol=0)
