"""The loss of SAM's scores; those of masks are held to their formulas in test_frozen_qwen.py."""

import pytest
from tiny_grounder import tiny_grounder
from tiny_hf_sams import KINDS, tiny_hf_backend
from tiny_samples import tiny_batch, tiny_sample, with_absent

LOSS_IOU = {'type': 'mmdet.MSELoss', 'reduction': 'mean'}


def ious(sample):
    for logits, truth in zip(sample.sam_pred_masks > 0, sample.gt_masks, strict=True):
        union = int((logits | truth).sum())
        yield int((logits & truth).sum()) / union if union else 0.0


def test_scores_learn_the_iou_of_the_refined_masks():
    model, samples = tiny_grounder(loss_iou=LOSS_IOU), tiny_batch()
    errors = [
        (score - iou) ** 2
        for sample in model(samples, mode='predict')
        for score, iou in zip(sample.sam_scores.double().tolist(), ious(sample), strict=True)
    ]
    assert model(samples, mode='loss')['sam_loss_iou'].item() == pytest.approx(sum(errors) / len(errors), abs=1e-6)


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


@pytest.mark.parametrize('kind', [None, *KINDS])
def test_scores_train_the_head_for_them_alone(kind):
    model = tiny_grounder(sam=kind and tiny_hf_backend(kind, seed=0), loss_iou=LOSS_IOU)
    model(tiny_batch(), mode='loss')['sam_loss_iou'].backward()
    head = 'sam.model.mask_decoder.iou_prediction_head.'
    for name, parameter in model.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns <= name.startswith(head), name
    assert all(parameter.grad.any() for parameter in model.sam.model.mask_decoder.iou_prediction_head.parameters())


def test_without_it_scores_are_not_trained():
    losses = tiny_grounder()(tiny_batch(), mode='loss')
    assert set(losses) == {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice'}
