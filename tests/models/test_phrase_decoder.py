"""Phrases are decoded a few at a time: which ones, and that nothing changes by it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_samples import tiny_batch, tiny_sample

from flmm.geometry import processed_to_image
from flmm.models.phrase_decoder import PhraseDecoder, _parts


def plain_parts(costs, budget):
    """Phrase by phrase: [(sample, phrase), ...] of each part; ``costs`` has (cost, number of phrases) of a sample."""
    parts, left = [[]], budget
    for sample, (cost, number) in enumerate(costs):
        for phrase in range(number):
            if parts[-1] and left < cost:
                parts.append([])
                left = budget
            parts[-1].append((sample, phrase))
            left -= cost
    return parts


@pytest.mark.parametrize('seed', range(40))
def test_parts_are_as_large_as_the_budget_allows_and_cover_all_phrases_in_order(seed):
    rng = np.random.default_rng(seed)
    sizes = [tuple(rng.integers(1, 9, 3).tolist()) for _ in range(rng.integers(1, 6))]  # channels, height, width
    numbers = rng.integers(1, 12, len(sizes)).tolist()
    samples = [
        SimpleNamespace(image_size=(height, width), num_masks=number)
        for (_, height, width), number in zip(sizes, numbers, strict=True)
    ]
    features = [
        SimpleNamespace(attentions=torch.zeros(number, channels, 2, 3))
        for (channels, _, _), number in zip(sizes, numbers, strict=True)
    ]
    costs = [
        (channels * 6 + height * width, number)
        for (channels, height, width), number in zip(sizes, numbers, strict=True)
    ]
    budget = int(rng.integers(1, 400))
    found = [
        [(i, phrase) for i, which in part for phrase in range(samples[i].num_masks)[which]]
        for part in _parts(samples, features, budget)
    ]
    assert found == plain_parts(costs, budget)
    for part in found:
        assert len(part) == 1 or sum(costs[i][0] for i, _ in part) <= budget
    assert list(_parts(samples, features, None)) == [[(i, slice(None)) for i in range(len(samples))]]


@pytest.fixture(scope='module')
def case():
    model = tiny_grounder()
    samples = [*tiny_batch(), tiny_sample(['one', 'and two', 'x', 'a b', 'there'], size=(120, 90), seed=4)]
    features = model.encode(samples)
    with torch.no_grad():
        texts = [model._text_embeds(sample, read.hidden_states) for sample, read in zip(samples, features, strict=True)]
    return model, samples, features, texts


def decode(case, budget):
    model, samples, features, texts = case
    decoder = PhraseDecoder(mask_head=model.mask_head, sam=model.sam, padding_cut=model.padding_cut)
    with torch.no_grad():
        return decoder.decode(samples, features, texts, budget=budget)


@pytest.mark.parametrize('budget', [1, 30_000, 100_000])
def test_masks_do_not_depend_on_how_many_are_decoded_together(case, budget):
    sizes = []
    hook = case[0].mask_head.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    together, apart = decode(case, None), decode(case, budget)
    hook.remove()
    assert sizes[:4] == [2, 3, 1, 5]  # one call for each grid
    assert sizes[4:] == {1: [1] * 11, 30_000: [1, 1, 1, 2, 1, 1, 2, 2], 100_000: [2, 3, 1, 2, 3]}[budget]
    for sample, whole, parts in zip(case[1], together, apart, strict=True):
        assert len(parts.coarse) == len(parts.refined) == len(parts.scores) == sample.num_masks
        for name, rounding in (('coarse', 3e-5), ('refined', 3e-6)):
            one, other = getattr(whole, name).in_image(), getattr(parts, name).in_image()
            assert one.shape == (sample.num_masks, *sample.image_size)
            # A convolution rounds the last digits of a batch otherwise than of one: here 7e-6 and 3e-7 of logits
            # up to 8 and 0.2. Not a pixel changes by it; on another machine one may.
            torch.testing.assert_close(one, other, atol=rounding, rtol=0)
            assert ((one > 0) != (other > 0)).sum() <= 1
        torch.testing.assert_close(whole.scores, parts.scores, atol=1e-5, rtol=0)


def test_the_coarse_mask_is_the_mask_head_s_and_small(case):
    model, samples, features, _ = case
    for sample, read, found in zip(samples, features, decode(case, None), strict=True):
        with torch.no_grad():
            logits = model.mask_head(read.attentions)
        torch.testing.assert_close(found.coarse.small, logits, atol=1e-5, rtol=0)
        in_image = processed_to_image(logits, sample.meta_data)
        torch.testing.assert_close(found.coarse.in_image(), in_image, atol=1e-5, rtol=0)
        assert found.refined.small.shape == (sample.num_masks, 32, 32)  # four cells for each of SAM's eight


def test_samples_of_one_grid_go_through_the_mask_head_together(case):
    model, samples, features, _ = case
    sizes = []
    hook = model.mask_head.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    decoder = PhraseDecoder(mask_head=model.mask_head, sam=model.sam, padding_cut='exact')
    twice = [samples[0], samples[1], samples[0]]
    with torch.no_grad():
        found = decoder.coarse_logits(twice, [features[i].attentions for i in (0, 1, 0)])
    hook.remove()
    assert sizes == [4, 3]
    torch.testing.assert_close(found[0], found[2], atol=1e-6, rtol=0)


def test_a_model_decodes_by_its_budget_and_with_gradients_all_at_once():
    model, samples = tiny_grounder(decode_budget=1).eval(), tiny_batch()
    sizes = []
    model.mask_head.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    found = model(samples, mode='predict')
    assert sizes == [1] * 6
    sizes.clear()
    expected = tiny_grounder().eval()(samples, mode='predict')
    model(samples, mode='tensor')
    assert sizes == [2, 3, 1]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.pred_masks, other.pred_masks, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one.sam_pred_masks, other.sam_pred_masks, atol=3e-5, rtol=1e-5)
        torch.testing.assert_close(one.sam_scores, other.sam_scores, atol=1e-5, rtol=0)


def test_no_budget_is_refused():
    with pytest.raises(ValueError, match='decode_budget is 0, expected 1 or more'):
        tiny_grounder(decode_budget=0)
