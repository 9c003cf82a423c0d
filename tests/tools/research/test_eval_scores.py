"""tools/research/eval_scores.py on the tiny workspace, beside what a test writes of the same phrases."""

import json
import re
import statistics

from pycocotools import mask as coco_mask
from tiny_refcoco import run_tool


def test_scores_stand_beside_the_ious_of_a_test(config, trained, tmp_path, capsys):
    checkpoint = trained.work_dir / 'epoch_2.pth'
    run_tool('research/eval_scores', config, checkpoint, '--work-dir', tmp_path / 'scores')
    printed = capsys.readouterr().out
    count, score, iou = re.search(r'(\d+) phrases: mean score (\S+), mean IoU (\S+)', printed).groups()

    run_tool('test', config, checkpoint, '--work-dir', tmp_path / 'test', '--out', tmp_path / 'found.jsonl')
    found, truth = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ('found.jsonl', 'found.truth.jsonl')
    )
    ious = [
        float(coco_mask.iou([a['refined']], [b['mask']], [False])[0, 0]) if a['refined'] else 0.0
        for a, b in zip(found, truth, strict=True)
    ]
    assert int(count) == len(ious)
    assert abs(float(iou) - statistics.mean(ious)) < 1e-3
    assert float(score) != 0
    median = statistics.median_low(ious)
    constant = statistics.mean(abs(each - median) for each in ious)
    assert abs(float(re.search(r'of a constant (\S+)', printed).group(1)) - constant) < 1e-3
    assert -1 <= float(re.search(r'rank correlation (\S+)', printed).group(1)) <= 1
