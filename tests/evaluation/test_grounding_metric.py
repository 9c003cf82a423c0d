import math
import random

import numpy as np
import pytest
import torch
from predicted_samples import predicted_sample, random_masks

from flmm.evaluation import GroundingMetric
from flmm.registry import METRICS


def random_sample(num_masks, *, seed, size=(9, 13), **fields):
    masks = [random_masks(num_masks, *size, seed=10 * seed + offset) for offset in range(3)]
    return predicted_sample(*masks, sample_idx=seed, **fields)


def evaluate(batches, *, num_items, **options):
    metric = GroundingMetric(**options)
    for batch in batches:
        metric.process({}, batch)
    return metric.evaluate(size=num_items)


def oracle(samples):
    """cIoU and mIoU by counting pixel after pixel in plain Python, keyed as the metric does it."""
    rows = {}
    for sample in samples:
        for source, logits in (('coarse', sample.pred_masks), ('refined', sample.sam_pred_masks)):
            for index in range(len(sample.phrases)):
                pixels = list(
                    zip((logits[index] > 0).flatten().tolist(), sample.gt_masks[index].flatten().tolist(), strict=True)
                )
                both, either = sum(p and t for p, t in pixels), sum(p or t for p, t in pixels)
                kind = sample.phrase_infos[index].kind
                rows.setdefault((sample.dataset_name, source), []).append((both, either, kind))
    metrics = {}
    for (name, source), members in rows.items():
        mean = {None: [], **{kind: [] for _, _, kind in members}}
        for both, either, kind in members:
            iou = both / either if either else 0.0
            mean[None].append(iou)
            if kind is not None:
                mean[kind].append(iou)
        for kind, ious in mean.items():
            suffix = '' if kind is None else f'/{kind}'
            metrics[f'{name}/{source}/mIoU{suffix}'] = 100 * sum(ious) / len(ious)
        metrics[f'{name}/{source}/cIoU'] = 100 * sum(row[0] for row in members) / sum(row[1] for row in members)
    return metrics


def test_against_oracle():
    samples = [
        random_sample(3, seed=0, dataset_name='a'),
        random_sample(1, seed=1, dataset_name='a', size=(20, 4)),
        random_sample(2, seed=2, dataset_name='b', kinds=['color', 'size']),
        random_sample(3, seed=3, dataset_name='b', kinds=['size', 'size', 'color']),
    ]
    metrics = evaluate([samples[:1], samples[1:]], num_items=4)
    assert metrics == pytest.approx(oracle(samples), rel=1e-12)
    assert len(metrics) == 2 * (2 + 2 + 2)


def test_known_numbers():
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[:, :2] = True  # 8 pixels
    coarse, refined = torch.zeros_like(truth), truth.clone()
    coarse[0, 1:3] = True  # IoU 4 / 12
    coarse[1, 0, :2] = True  # IoU 2 / 8
    assert evaluate([[predicted_sample(truth, coarse, refined)]], num_items=1) == pytest.approx(
        {
            'val/coarse/cIoU': 100 * 6 / 20,
            'val/coarse/mIoU': 100 * (1 / 3 + 1 / 4) / 2,
            'val/refined/cIoU': 100.0,
            'val/refined/mIoU': 100.0,
        }
    )


def test_empty_masks():
    """An empty prediction scores 0, and so does an empty truth; both empty count as 0 too, as in mmdet."""
    empty, full = torch.zeros(1, 3, 3, dtype=torch.bool), torch.ones(1, 3, 3, dtype=torch.bool)
    truths = torch.cat([full, empty, empty])
    coarse = torch.cat([empty, full, empty])
    refined = torch.cat([full, full, empty])
    metrics = evaluate([[predicted_sample(truths, coarse, refined)]], num_items=1)
    assert metrics == pytest.approx(
        {'val/coarse/cIoU': 0.0, 'val/coarse/mIoU': 0.0, 'val/refined/cIoU': 50.0, 'val/refined/mIoU': 100 / 3}
    )


@pytest.mark.filterwarnings('error')
def test_no_pixel_at_all_has_no_ciou():
    empty = torch.zeros(1, 3, 3, dtype=torch.bool)
    metrics = evaluate([[predicted_sample(empty, empty, empty)]], num_items=1)
    assert math.isnan(metrics['val/coarse/cIoU'])
    assert metrics['val/coarse/mIoU'] == 0.0


def test_samples_split_from_one_item_all_count():
    """mmengine cuts results to the number of items: three samples of one item must be one result."""
    split = [random_sample(1, seed=0) for _ in range(3)]
    other = random_sample(1, seed=1)
    metrics = evaluate([[*split, other]], num_items=2)
    assert metrics == pytest.approx(oracle([*split, other]), rel=1e-12)


def test_items_repeated_by_a_distributed_sampler_are_cut():
    """Results beyond the number of items are repetitions that fill up the last round."""
    items = [random_sample(2, seed=seed) for seed in range(3)]
    metrics = evaluate([[items[0]], [items[1]], [items[2]], [items[0]]], num_items=3)
    assert metrics == pytest.approx(oracle(items), rel=1e-12)


def test_items_of_two_datasets_with_one_index_stay_apart():
    """Concatenated datasets each count from 0: the last item of one and the first of the next may share an index."""
    left, right = random_sample(1, seed=0, dataset_name='a'), random_sample(1, seed=0, dataset_name='b')
    metric = GroundingMetric()
    metric.process({}, [left, right])
    assert [len(result) for result in metric.results] == [2, 2]  # coarse and refined of one phrase each
    assert metric.evaluate(size=2) == pytest.approx(oracle([left, right]), rel=1e-12)


def test_order_of_items_does_not_matter():
    samples = [random_sample(2, seed=seed, kinds=['color', 'size']) for seed in range(6)]
    shuffled = random.Random(0).sample(samples, k=6)
    left, right = (evaluate([[s] for s in order], num_items=6) for order in (samples, shuffled))
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize('metric', ['cIoU', 'mIoU'])
def test_one_metric_alone(metric):
    """Kinds are reported as mIoU, so not where that was not asked for."""
    sample = random_sample(2, seed=0, kinds=['color', 'size'])
    expected = {key: value for key, value in oracle([sample]).items() if metric in key}
    assert evaluate([[sample]], num_items=1, metric=[metric]) == pytest.approx(expected, rel=1e-12)


def test_results_are_forgotten_after_an_evaluation():
    metric = METRICS.build({'type': 'GroundingMetric'})
    for seed in (0, 1):
        sample = random_sample(2, seed=seed)
        metric.process({}, [sample])
        assert metric.evaluate(size=1) == pytest.approx(oracle([sample]), rel=1e-12)


def test_values_are_plain_floats():
    metrics = evaluate([[random_sample(1, seed=0)]], num_items=1)
    assert {type(value) for value in metrics.values()} == {float}
    assert not any(isinstance(value, np.generic) for value in metrics.values())


def test_refined_miou_of_the_first_test_set_comes_first():
    """mmengine's save_best='auto' takes the first key."""
    samples = [random_sample(2, seed=0, dataset_name='b', kinds=['x', 'y']), random_sample(1, seed=1, dataset_name='a')]
    assert list(evaluate([samples], num_items=2))[:5] == [
        'b/refined/mIoU', 'b/refined/cIoU', 'b/coarse/mIoU', 'b/coarse/cIoU', 'a/refined/mIoU',
    ]  # fmt: skip
    assert next(iter(evaluate([samples], num_items=2, metric=['cIoU'], prefix='own'))) == 'own/b/refined/cIoU'


def test_a_sample_without_truth_is_named():
    sample = random_sample(1, seed=0)
    sample.masks = sample.gt_masks = None
    with pytest.raises(ValueError, match=r"image 'folder/photo.jpg' of 'val' has no truth masks, .*\(LoadMasks in the"):
        GroundingMetric().process({}, [sample])
