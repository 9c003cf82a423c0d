"""The existence head against its formula in float64, what it learns, and where its threshold lies."""

import copy
import math

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_families import build_grounder, make_batch
from tiny_grounder import tiny_grounder
from tiny_models import tiny_processor, tiny_sam
from tiny_samples import tiny_sample, with_absent, with_coarse

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG, unlabelled_item
from flmm.grounder import Grounder, read_image
from flmm.models import ExistenceHead, SAMWrapper

EXISTENCE = {'type': 'flmm.ExistenceHead', 'width': 8}


@pytest.fixture(scope='module')
def head():
    torch.manual_seed(0)
    return ExistenceHead(in_channels=3, hidden_size=6, depth=2, width=4)


def oracle(head, attentions, states):
    """One phrase: [C, h, w] and [L, tokens, D], each cell and each token by itself."""

    def gelu(x):
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))

    weights = {name: value.double() for name, value in head.state_dict().items()}

    def linear(name, x):
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    num_cells = attentions[0].numel()
    cells = [
        linear('read_maps.2', gelu(linear('read_maps.0', (cell * num_cells + 0.1).log())))
        for cell in attentions.double().flatten(1).T
    ]
    tokens = []
    share = weights['layer_weights'].exp() / weights['layer_weights'].exp().sum(1, keepdim=True)
    for token in states.double().unbind(1):
        centred = token - token.mean(1, keepdim=True)
        normal = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()
        tokens.append(gelu(linear('read_tokens.0', (share @ normal).flatten())))
    read = [
        reduce(torch.stack(each)) for each in (cells, tokens) for reduce in (lambda x: x.amax(0), lambda x: x.mean(0))
    ]
    return linear('verdict.2', gelu(linear('verdict.0', torch.cat(read))))


def test_it_is_its_formula_and_phrases_do_not_mix(head):
    torch.manual_seed(1)
    attentions, states = torch.rand(2, 3, 4, 5) / 20, torch.randn(2, 5, 6)
    with torch.no_grad():
        head.layer_weights.copy_(torch.tensor([[0.3, -0.4], [1.0, 0.2]]))
    logits = head(attentions, states, [2, 3])
    expected = [oracle(head, attentions[0], states[:, :2]), oracle(head, attentions[1], states[:, 2:])]
    torch.testing.assert_close(logits.double(), torch.cat(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('weights', ['float32', 'half'])
def test_features_in_half_precision(head, dtype, weights):
    """Rounded features, and beside that the arithmetic of the weights' precision alone."""
    torch.manual_seed(1)
    attentions, states = torch.rand(2, 3, 4, 5) / 20, torch.randn(2, 5, 6)
    expected = head(attentions.to(dtype).float(), states.to(dtype).float(), [2, 3])
    used = copy.deepcopy(head).to(dtype) if weights == 'half' else head
    found = used(attentions.to(dtype), states.to(dtype), [2, 3])
    assert found.dtype == used.layer_weights.dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=2e-2 if weights == 'half' else 0)


def test_mixed_precision_changes_the_last_digits_alone(head):
    torch.manual_seed(1)
    attentions, states = torch.rand(2, 3, 4, 5) / 20, torch.randn(2, 5, 6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = head(attentions, states, [2, 3])
    torch.testing.assert_close(found.float(), head(attentions, states, [2, 3]), rtol=0, atol=2e-2)


@pytest.mark.parametrize(
    ('num_mixtures', 'starts'), [(1, [0]), (2, [0, 6]), (4, [0, 2, 4, 6]), (7, list(range(7))), (9, list(range(7)))]
)
def test_mixtures_start_at_layers_of_their_own(num_mixtures, starts):
    made = ExistenceHead(in_channels=3, hidden_size=6, depth=7, width=4, num_mixtures=num_mixtures)
    assert made.layer_weights.argmax(dim=1).tolist() == starts
    assert made.read_tokens[0].in_features == 6 * len(starts)
    share = made.layer_weights.softmax(dim=1).max(dim=1).values
    torch.testing.assert_close(share, torch.full_like(share, math.exp(3) / (math.exp(3) + 6)))


def test_no_mixture_is_refused():
    with pytest.raises(ValueError, match='num_mixtures is 0, expected 1 or more'):
        ExistenceHead(in_channels=3, hidden_size=6, depth=7, num_mixtures=0)


def test_where_sam_reads_no_text_existence_is_judged_all_the_same():
    sam = SAMWrapper(sam=tiny_sam(), use_text=False)
    model = build_grounder('qwen2_5_vl', existence=EXISTENCE, sam=sam)
    assert model.text_proj is None
    samples = [with_absent(make_batch('qwen2_5_vl')[0], 0)]
    losses = model(samples, mode='loss')
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.existence_head.parameters())
    (found,) = model(samples, mode='predict')
    assert torch.equal(found.existence, model.judge(samples)[0])


def test_attention_of_zero_is_finite(head):
    assert head(torch.zeros(1, 3, 2, 2), torch.randn(2, 1, 6), [1]).isfinite().all()


def test_a_model_without_the_head_is_as_before():
    model, judging = tiny_grounder(), tiny_grounder(existence=EXISTENCE)
    assert model.existence_head is None
    added = judging.state_dict().keys() - model.state_dict().keys()
    assert added == {f'existence_head.{name}' for name in judging.existence_head.state_dict()}
    (found,) = model([tiny_sample(['a', 'the cat'])], mode='predict')
    assert (found.existence, found.exists) == (None, None)
    assert set(model([tiny_sample(['a'])], mode='loss')) == {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice'}


def test_predictions_say_what_exists_by_the_threshold_and_keep_their_logits():
    model, sample = tiny_grounder(existence=EXISTENCE).eval(), tiny_sample(['a', 'the cat', 'dog'])
    (found,) = model([sample], mode='predict')
    (features,) = model.encode([sample])
    logits = model.existence_head(features.attentions, features.hidden_states, sample.tokens_per_mask)
    torch.testing.assert_close(found.existence, logits.sigmoid(), atol=1e-6, rtol=0)
    model.existence_head.threshold.fill_(float(found.existence.sort().values[1]))
    (again,) = model([sample], mode='predict')
    assert again.exists.tolist() == (found.existence >= found.existence.sort().values[1]).tolist()
    assert int(again.exists.sum()) == 2
    assert torch.equal(again.sam_pred_masks, found.sam_pred_masks)


def test_the_loss_of_existence_is_the_mean_over_phrases():
    model = tiny_grounder(existence=EXISTENCE)
    samples = [with_absent(tiny_sample(['a', 'the cat']), 1), tiny_sample(['dog'], seed=1)]
    loss = model(samples, mode='loss')['loss_existence']
    found = [p for sample in model(samples, mode='predict') for p in sample.existence.double().tolist()]
    expected = -(math.log(found[0]) + math.log(1 - found[1]) + math.log(found[2])) / 3
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_masks_of_absent_phrases_take_no_part():
    model, sample = tiny_grounder(existence=EXISTENCE), tiny_sample(['a', 'the cat'])
    (features,) = model.encode([sample])
    with_both = model([with_absent(sample, 1)], mode='loss')
    (grounded,) = model._ground([with_absent(sample, 1)], [features])
    changed = grounded.coarse.small.clone()
    changed[1] += 7.0  # of the absent phrase: no loss looks at it
    losses = model._losses([with_coarse(grounded, changed)])
    for name in ('loss_mask', 'loss_dice'):
        assert losses[name].item() == pytest.approx(with_both[name].item(), abs=1e-6)
    changed[0] += 7.0
    moved = model._losses([with_coarse(grounded, changed)])
    assert float(moved['loss_mask']) != pytest.approx(float(with_both['loss_mask']), abs=1e-3)


def test_a_batch_of_absent_phrases_alone_still_learns():
    model, sample = tiny_grounder(existence=EXISTENCE), tiny_sample(['a', 'the cat'])
    losses = model([with_absent(sample, 0, 1)], mode='loss')
    assert [losses[name].item() for name in ('loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice')] == [0.0] * 4
    sum(losses.values()).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(gradients[f'existence_head.{name}'].any() for name, _ in model.existence_head.named_parameters())


def test_an_absent_phrase_without_the_head_is_refused():
    with pytest.raises(
        ValueError, match=r"phrase 'the cat' of image 'random_0.jpg' has no target.*give it existence=.*or leave"
    ):
        tiny_grounder()([with_absent(tiny_sample(['a', 'the cat']), 1)], mode='loss')


def test_the_threshold_lies_in_the_state_dict():
    model = tiny_grounder(existence=EXISTENCE)
    model.existence_head.threshold.fill_(0.25)
    other = tiny_grounder(existence=EXISTENCE, seed=1)
    assert float(other.existence_head.threshold) == 0.5
    other.load_state_dict(model.state_dict())
    assert float(other.existence_head.threshold) == 0.25
    state = model.state_dict()
    del state['existence_head.threshold']
    with pytest.raises(ValueError, match=r'existence_head\.threshold'):
        other.load_state_dict(state)


def test_a_step_moves_the_whole_head_and_nothing_that_is_frozen():
    model = tiny_grounder(existence=EXISTENCE)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-1)
    sum(model([with_absent(tiny_sample(['a', 'the cat']), 1)], mode='loss').values()).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad or not name.startswith(('existence_head.', 'mask_head.', 'text_')), name
        if not name.endswith('k_proj.bias'):  # which adds the same to all logits of a softmax
            assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


@pytest.mark.parametrize('at_once', [1, 2, 3, 8])
def test_existence_keeps_the_order_of_the_phrases_however_many_go_together(at_once, monkeypatch):
    monkeypatch.setattr(read_image, 'PHRASES_AT_ONCE', at_once)
    model = tiny_grounder(existence=EXISTENCE)
    grounder = Grounder(model=model, to_sample=to_sample())
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 160, 3), dtype=np.uint8))
    phrases = ['a', 'the cat', 'dog', 'red', 'a']
    found = grounder(image, phrases)
    expected = torch.cat([grounder(image, [phrase]).existence for phrase in phrases])
    assert len(expected.unique()) >= 4
    torch.testing.assert_close(found.existence, expected, rtol=0, atol=1e-5)
    model.existence_head.threshold.fill_(float(expected.sort().values[2]) - 1e-4)
    verdict = grounder(image, phrases)
    assert verdict.exists.tolist() == (expected >= model.existence_head.threshold).tolist()
    assert not verdict.masks[~verdict.exists].any()
    assert torch.equal(verdict.masks[verdict.exists], verdict.refined.in_image()[verdict.exists] > 0)


def test_existence_in_one_sequence_is_that_of_the_model_s_own_sample():
    model = tiny_grounder(existence=EXISTENCE)
    grounder = Grounder(model=model, to_sample=to_sample(independent=False))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 160, 3), dtype=np.uint8))
    phrases = ['a', 'the cat', 'dog']
    found = grounder(image, phrases).existence
    (expected,) = model.judge([grounder.to_sample.transform(unlabelled_item(image, phrases))])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    alone = Grounder(model=model, to_sample=to_sample())(image, phrases).existence
    assert abs(float(alone[0] - found[0])) < 1e-5  # the first sees no other either way
    assert (alone[1:] - found[1:]).abs().max() > 1e-4


def to_sample(**settings):
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor('qwen2_5_vl'))
    return RefCOCO2PNG(image_processor=wrapper, prompt='What is it?', **settings)
