"""tools/research/eval_scores.py on the tiny workspace, beside what a test writes of the same phrases."""

import json
import re
import statistics

import numpy as np
from pycocotools import mask as coco_mask
from scipy.stats import rankdata
from tiny_refcoco import run_tool

from flmm import phrase_scores


def test_scores_stand_beside_the_ious_of_a_test(config, trained, tmp_path, capsys, monkeypatch):
    checkpoint = trained.work_dir / 'epoch_2.pth'
    scores, of_sample = [], phrase_scores.phrase_scores
    with monkeypatch.context() as patch:
        patch.setattr(
            phrase_scores,
            'phrase_scores',
            lambda sample: scores.extend(sample.sam_scores.tolist()) or of_sample(sample),
        )
        run_tool('research/eval_scores', config, checkpoint, '--work-dir', tmp_path / 'scores')
    printed = re.search(r'\d+ phrases: mean score.*', capsys.readouterr().out, re.DOTALL)[0]  # behind the log
    found = [float(number) for number in re.findall(r'-?\d+(?:\.\d+)?', printed)]

    run_tool('test', config, checkpoint, '--work-dir', tmp_path / 'test', '--out', tmp_path / 'found.jsonl')
    predicted, truth = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ('found.jsonl', 'found.truth.jsonl')
    )
    ious = [
        float(coco_mask.iou([a['refined']], [b['mask']], [False])[0, 0]) if a['refined'] else 0.0
        for a, b in zip(predicted, truth, strict=True)
    ]
    median = statistics.median_low(ious)
    expected = [
        len(ious),
        statistics.mean(scores),
        statistics.mean(ious),
        statistics.mean(abs(score - iou) for score, iou in zip(scores, ious, strict=True)),
        statistics.mean(abs(iou - median) for iou in ious),
        np.corrcoef(rankdata(scores), rankdata(ious))[0, 1],
    ]
    np.testing.assert_allclose(found, expected, atol=6e-3)
    np.testing.assert_allclose(found[:-1], expected[:-1], atol=1e-3)
