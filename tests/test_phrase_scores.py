import pytest
import torch
from predicted_samples import predicted_sample

from flmm.phrase_scores import PhraseScore, phrase_scores


def test_logits_above_zero_are_foreground():
    truth = torch.ones(1, 1, 4, dtype=torch.bool)
    logits = torch.tensor([[[-1e-6, 0.0, 1e-6, 5.0]]])
    scores = list(phrase_scores(predicted_sample(truth, logits, -logits, kinds=['color'])))
    assert scores == [PhraseScore('val', 'coarse', 'color', 2, 4), PhraseScore('val', 'refined', 'color', 1, 4)]
    assert [score.iou for score in scores] == [0.5, 0.25]


def test_nothing_in_either_mask_scores_zero():
    assert PhraseScore('val', 'coarse', None, 0, 0).iou == 0.0


def test_a_sample_without_truth_is_named():
    truth = torch.ones(1, 2, 2, dtype=torch.bool)
    sample = predicted_sample(truth, truth, truth)
    sample.masks = sample.gt_masks = None
    with pytest.raises(ValueError, match=r"image 'folder/photo.jpg' of 'val' has no truth masks, .*\(LoadMasks in the"):
        next(phrase_scores(sample))
