import numpy as np
import pytest
import torch
from predicted_samples import predicted_sample, random_masks

from flmm.phrase_info import PhraseInfo
from flmm.phrase_scores import phrase_scores
from flmm.scoring import PhraseScore


def test_logits_above_zero_are_foreground():
    truth = torch.ones(1, 1, 4, dtype=torch.bool)
    logits = torch.tensor([[[-1e-6, 0.0, 1e-6, 5.0]]])
    scores = list(phrase_scores(predicted_sample(truth, logits, -logits, kinds=['color'])))
    common = {'dataset_name': 'val', 'image': 'folder/photo.jpg', 'info': PhraseInfo(kind='color')}
    common |= {'union': 4, 'has_target': True, 'says_absent': False}
    assert scores == [
        PhraseScore(source='coarse', intersection=2, **common),
        PhraseScore(source='refined', intersection=1, **common),
    ]
    assert [score.iou for score in scores] == [0.5, 0.25]


def test_random_masks_with_ignored_pixels_against_counting():
    truth, coarse, refined, ignored = (random_masks(3, 7, 9, seed=seed) for seed in range(4))
    sample = predicted_sample(truth, coarse, refined).with_outputs(ignore_masks=ignored)
    scores = list(phrase_scores(sample))
    for score, (predicted, index) in zip(scores, [(m, i) for m in (coarse, refined) for i in range(3)], strict=True):
        pixels = zip(*(mask[index].flatten().tolist() for mask in (predicted, truth, ignored)), strict=True)
        counted = [(p, t) for p, t, i in pixels if not i]
        assert score.intersection == sum(p and t for p, t in counted)
        assert score.union == sum(p or t for p, t in counted)
        assert 0 < score.intersection < score.union < 63 - ignored[index].sum()


def test_whether_there_is_a_target_is_judged_by_the_whole_truth():
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[0, 0] = True
    sample = predicted_sample(truth, truth, ~truth).with_outputs(ignore_masks=truth)
    scores = list(phrase_scores(sample))
    assert [score.has_target for score in scores] == [True, False] * 2
    assert [score.says_absent for score in scores] == [False, True, False, False]
    assert [(score.intersection, score.union) for score in scores] == [(0, 0), (0, 0), (0, 12), (0, 16)]
    assert [score.iou for score in scores] == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ('exists', 'has_pixel', 'has_target', 'says_absent', 'counts', 'iou'),
    [
        (None, True, True, False, (8, 16), 0.5),
        (None, False, True, True, (0, 8), 0.0),
        (None, True, False, False, (0, 16), 0.0),
        (None, False, False, True, (0, 0), 1.0),
        (True, True, True, False, (8, 16), 0.5),
        (True, False, True, False, (0, 8), 0.0),
        (False, True, True, True, (0, 8), 0.0),
        (True, False, False, False, (0, 0), 0.0),  # the head decides, not the mask, as in GRES
        (True, True, False, False, (0, 16), 0.0),
        (False, True, False, True, (0, 0), 1.0),
    ],
)
def test_what_says_that_nothing_is_there(exists, has_pixel, has_target, says_absent, counts, iou):
    truth = torch.zeros(1, 4, 4, dtype=torch.bool)
    truth[:, :2] = has_target
    predicted = torch.full((1, 4, 4), has_pixel)
    sample = predicted_sample(truth, predicted, predicted)
    if exists is not None:
        sample = sample.with_outputs(existence=torch.tensor([0.5]), exists=torch.tensor([exists]))
    for score in phrase_scores(sample):
        assert (score.has_target, score.says_absent) == (has_target, says_absent)
        assert (score.intersection, score.union, score.iou) == (*counts, iou)


def test_values_are_plain():
    truth = torch.ones(1, 2, 2, dtype=torch.bool)
    score = next(phrase_scores(predicted_sample(truth, truth, truth)))
    values = (score.intersection, score.union, score.has_target, score.says_absent, score.iou)
    assert [type(value) for value in values] == [int, int, bool, bool, float]
    assert not any(isinstance(value, np.generic) for value in values)


def test_a_sample_without_truth_is_named():
    truth = torch.ones(1, 2, 2, dtype=torch.bool)
    sample = predicted_sample(truth, truth, truth)
    sample.masks = sample.gt_masks = None
    with pytest.raises(ValueError, match=r"image 'folder/photo.jpg' of 'val' has no truth masks, .*\(LoadMasks in the"):
        next(phrase_scores(sample))
