"""All metrics of a file, from reading it to percent, against exact fractions that are counted pixel by pixel."""

import itertools
import json
import random
from fractions import Fraction

import numpy as np
import pytest
from prediction_lines import rle, write_lines

from flmm.scoring import grounding_metrics, match_lines, read_predictions, read_truths, score_pairs

FLAGS = (None, True, False)
SHAPES = ((1, 1), (1, 9), (7, 1), (10, 10))


def random_lines(seed, num_lines, targets):
    """Predictions, truths, and of each (I, U, has a target, says absent, thing, plural, kind)."""
    rng = random.Random(seed)
    predictions, truths, counted = [], [], []
    for _ in range(num_lines):
        number = rng.randrange(4)
        names = {'image': f'{number}.jpg', 'phrase': rng.choice(['猫', 'the dog', 'e\u0301 "x"'])}
        masks = np.random.default_rng(rng.randrange(2**30))
        true, found, ignored = (masks.random(SHAPES[number]) < rng.choice([0, 0.3, 0.9]) for _ in range(3))
        true = true & (targets != 'none')
        true.flat[0] |= targets == 'all'
        exists = rng.choice([None, *FLAGS])
        is_null = exists is not True and rng.random() < 0.2
        info = {'thing': rng.choice(FLAGS), 'plural': rng.choice(FLAGS), 'kind': rng.choice([None, 'a', 'b'])}
        predictions.append({**names, 'refined': None if is_null else rle(found), 'exists': exists})
        truths.append({**names, 'mask': rle(true) if true.any() else None, 'ignore': rle(ignored), **info})
        says_absent = not exists if exists is not None else is_null or not found.any()
        found = found & (not says_absent and not is_null)
        intersection, union = int((found & true & ~ignored).sum()), int(((found | true) & ~ignored).sum())
        counted.append((intersection, union, bool(true.any()), says_absent, *info.values()))
    return predictions, truths, counted


def percent(values):
    """The mean, exact till its last step; None of nothing."""
    return float(100 * sum(values, Fraction(0)) / len(values)) if values else None


def expected_metrics(counted):
    """Every metric that applies, from its definition in docs/evaluation.md."""
    rows = [
        (Fraction(i, u or 1) if target else Fraction(absent), target, absent, thing, plural, kind)
        for i, u, target, absent, thing, plural, kind in counted
    ]
    present, none = ([row for row in rows if row[1] == target] for target in (True, False))
    sum_of_unions = sum(row[1] for row in counted)
    metrics = {
        'mIoU': percent([row[0] for row in present]),
        'cIoU': 100 * sum(row[0] for row in counted) / sum_of_unions if sum_of_unions else None,
        'gIoU': percent([row[0] for row in rows]) if none else None,
        'N_acc': percent([row[2] for row in none]),
        'T_acc': percent([not row[2] for row in present]) if none else None,
        'AR': percent([row[0] for row in present if (row[3], row[4]) != (None, None)]),
        'AR_things': percent([row[0] for row in present if row[3] is True]),
        'AR_stuff': percent([row[0] for row in present if row[3] is False]),
        'AR_singulars': percent([row[0] for row in present if row[4] is False]),
        'AR_plurals': percent([row[0] for row in present if row[4] is True]),
    }
    for tenth in range(5, 10):
        metrics[f'Pr@0.{tenth}'] = percent([row[0] >= Fraction(tenth, 10) for row in present])
    for kind in 'ab':
        metrics[f'mIoU/{kind}'] = percent([row[0] for row in present if row[5] == kind])
        metrics[f'N_acc/{kind}'] = percent([row[2] for row in none if row[5] == kind])
    return {key: value for key, value in metrics.items() if value is not None}


def shuffled_among_images(lines, seed):
    """Another order of lines, in which those of one image and phrase keep theirs."""
    groups = {}
    for line in lines:
        groups.setdefault((line['image'], line['phrase']), []).append(line)
    order = [key for key, members in groups.items() for _ in members]
    random.Random(seed).shuffle(order)
    return [groups[key].pop(0) for key in order]


@pytest.mark.parametrize(
    ('seed', 'num_lines', 'targets'), list(itertools.product(range(6), (1, 2, 40), ('some', 'none', 'all')))
)
def test_random_files(seed, num_lines, targets, tmp_path):
    predictions, truths, counted = random_lines(seed, num_lines, targets)
    files = (
        write_lines(tmp_path / 'out.jsonl', shuffled_among_images(predictions, seed)),
        write_lines(tmp_path / 'truth.jsonl', [json.dumps(line, ensure_ascii=False) for line in truths]),
    )
    pairs = match_lines(read_predictions(files[0]), read_truths(files[1]))
    found = grounding_metrics(list(score_pairs(pairs, test_set='own')))
    expected = {f'own/refined/{key}': value for key, value in expected_metrics(counted).items()}
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('tenth', range(5, 10))
def test_an_iou_of_exactly_the_threshold_counts_and_a_pixel_less_does_not(tenth, tmp_path):
    """3 / 5, 6 / 10, ... 300 / 500 are the number 0.6 in float64, too."""
    unions = [10, 20, 70, 110, 500]
    predictions, truths = [], []
    for union, missing in itertools.product(unions, (0, 1)):
        names = {'image': f'{union}.jpg', 'phrase': 'cat'}
        predictions.append({**names, 'refined': rle(np.arange(union)[None] < union * tenth // 10 - missing)})
        truths.append({**names, 'mask': rle(np.ones((1, union)))})
    files = (write_lines(tmp_path / 'out.jsonl', predictions), write_lines(tmp_path / 'truth.jsonl', truths))
    pairs = match_lines(*(read(path) for read, path in zip((read_predictions, read_truths), files, strict=True)))
    found = grounding_metrics(list(score_pairs(pairs, test_set='own')))
    assert found[f'own/refined/Pr@0.{tenth}'] == 50.0
