"""The loss of SAM's scores; those of masks are held to their formulas in test_frozen_qwen.py."""

import copy

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_hf_sams import KINDS, tiny_hf_backend
from tiny_samples import tiny_batch, tiny_sample, with_absent

LOSS_IOU = {'type': 'mmdet.MSELoss', 'reduction': 'mean'}


def ious(sample):
    for logits, truth in zip(sample.sam_pred_masks > 0, sample.gt_masks, strict=True):
        union = int((logits | truth).sum())
        yield int((logits & truth).sum()) / union if union else 0.0


def mean_squared_error(samples):
    errors = [
        (score - iou) ** 2
        for sample in samples
        for score, iou in zip(sample.sam_scores.double().tolist(), ious(sample), strict=True)
    ]
    return sum(errors) / len(errors)


def test_scores_learn_the_iou_of_the_refined_masks():
    model, samples = tiny_grounder(loss_iou=LOSS_IOU), tiny_batch()
    expected = mean_squared_error(model(samples, mode='predict'))
    assert model(samples, mode='loss')['sam_loss_iou'].item() == pytest.approx(expected, abs=1e-6)


def test_an_empty_mask_has_an_iou_of_zero():
    model, sample = tiny_grounder(loss_iou=LOSS_IOU), tiny_sample(['a'])
    for parameter in model.sam.model.mask_decoder.output_hypernetworks_mlps[0].parameters():
        parameter.data.zero_()  # logits of 0: no pixel is above
    (score,) = model([sample], mode='predict')[0].sam_scores.tolist()
    assert model([sample], mode='loss')['sam_loss_iou'].item() == pytest.approx(score**2, abs=1e-6)


def test_scores_of_absent_phrases_take_no_part():
    model = tiny_grounder(loss_iou=LOSS_IOU, existence={'type': 'ExistenceHead'})
    sample = tiny_sample(['a', 'the cat'])
    found = model([sample], mode='predict')[0]
    first = (found.sam_scores[0].item() - next(ious(found))) ** 2
    assert model([with_absent(sample, 1)], mode='loss')['sam_loss_iou'].item() == pytest.approx(first, abs=1e-6)
    assert model([with_absent(sample, 0, 1)], mode='loss')['sam_loss_iou'].item() == 0


def test_under_autocast_scores_are_compared_in_float32():
    model, samples = tiny_grounder(loss_iou=LOSS_IOU), tiny_batch()
    with torch.autocast('cpu', torch.bfloat16):
        found = model(samples, mode='predict')
        loss = model(samples, mode='loss')['sam_loss_iou']
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(mean_squared_error(found), rel=1e-5)  # bfloat16 has 2e-3


@pytest.mark.parametrize('kind', [None, *KINDS])
def test_scores_train_the_head_for_them_alone(kind):
    model = tiny_grounder(sam=kind and tiny_hf_backend(kind, seed=0), loss_iou=LOSS_IOU)
    model(tiny_batch(), mode='loss')['sam_loss_iou'].backward()
    head = 'sam.model.mask_decoder.iou_prediction_head.'
    for name, parameter in model.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns <= name.startswith(head), name
    assert all(parameter.grad.any() for parameter in model.sam.model.mask_decoder.iou_prediction_head.parameters())


def test_scores_of_a_copy_and_of_a_compiled_decoder_train_the_head_alone_too():
    compiled = {'sam.model.mask_decoder': {'backend': 'eager', 'fullgraph': True}}
    for model in (copy.deepcopy(tiny_grounder(loss_iou=LOSS_IOU)), tiny_grounder(loss_iou=LOSS_IOU, compiled=compiled)):
        model(tiny_batch(), mode='loss')['sam_loss_iou'].backward()
        learn = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        head = 'sam.model.mask_decoder.iou_prediction_head.'
        assert learn == {name for name, _ in model.named_parameters() if name.startswith(head)}


def test_without_it_scores_are_not_trained():
    losses = tiny_grounder()(tiny_batch(), mode='loss')
    assert set(losses) == {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice'}


@pytest.mark.parametrize('existence', [None, {'type': 'ExistenceHead'}])
def test_a_batch_of_nothing_has_a_gradient_of_zero_for_all_that_is_trained(existence, monkeypatch):
    averaged = []
    monkeypatch.setattr('flmm.models.losses.all_reduce', lambda value, op: averaged.append((op, float(value))))
    model = tiny_grounder(existence=existence)
    losses = model([], mode='loss')
    assert {name: value.item() for name, value in losses.items()} == {'loss_empty': 0.0}
    losses['loss_empty'].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or not parameter.grad.any(), name
    assert averaged == [('mean', 0.0)] * (2 if existence else 1)  # as many as the processes with samples ask for
    model(tiny_batch(), mode='loss')
    assert len(averaged) == 2 * (2 if existence else 1)
