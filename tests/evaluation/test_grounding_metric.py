import random

import numpy as np
import pytest
import torch
from predicted_samples import predicted_sample, random_masks
from pycocotools import mask as coco_mask

from flmm.evaluation import GroundingMetric
from flmm.registry import METRICS
from flmm.rle import encode_masks

# isort: split
from mmdet.evaluation import RefSegMetric  # behind flmm, without which it needs a compiled mmcv
from mmdet.structures.mask import BitmapMasks


def random_sample(num_masks, *, seed, size=(9, 13), **fields):
    masks = [random_masks(num_masks, *size, seed=10 * seed + offset) for offset in range(3)]
    return predicted_sample(*masks, sample_idx=seed, **fields)


def evaluate(batches, *, num_items, **options):
    metric = GroundingMetric(**options)
    for batch in batches:
        metric.process({}, batch)
    return metric.evaluate(size=num_items)


def oracle(samples):
    """The metrics by counting pixel after pixel in plain Python, keyed as the metric does it."""
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
            mean[None].append(both / either)
            if kind is not None:
                mean[kind].append(both / either)
        for kind, ious in mean.items():
            suffix = '' if kind is None else f'/{kind}'
            metrics[f'{name}/{source}/mIoU{suffix}'] = 100 * sum(ious) / len(ious)
        metrics[f'{name}/{source}/cIoU'] = 100 * sum(row[0] for row in members) / sum(row[1] for row in members)
        for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
            right = [iou >= threshold for iou in mean[None]]
            metrics[f'{name}/{source}/Pr@{threshold}'] = 100 * sum(right) / len(right)
    return metrics


def refsegmetric(samples, source):
    """cIoU and mIoU of mmdet."""
    metric = RefSegMetric()
    for sample in samples:
        masks = BitmapMasks(sample.gt_masks.numpy().astype(np.uint8), *sample.gt_masks.shape[1:])
        metric.process({}, [{'pred_instances': {'masks': getattr(sample, source) > 0}, 'gt_masks': masks}])
    return {key: float(value) for key, value in metric.compute_metrics(metric.results).items()}


def coco_ious(samples, source):
    """IoU of each phrase by pycocotools."""
    ious = []
    for sample in samples:
        predicted, truth = (encode_masks(m.numpy()) for m in (getattr(sample, source) > 0, sample.gt_masks))
        ious += np.diag(coco_mask.iou(predicted, truth, [0] * len(truth))).tolist()
    return ious


def test_against_oracle():
    samples = [
        random_sample(3, seed=0, dataset_name='a'),
        random_sample(1, seed=1, dataset_name='a', size=(20, 4)),
        random_sample(2, seed=2, dataset_name='b', kinds=['color', 'size']),
        random_sample(3, seed=3, dataset_name='b', kinds=['size', 'size', 'color']),
    ]
    metrics = evaluate([samples[:1], samples[1:]], num_items=4)
    assert metrics == pytest.approx(oracle(samples), rel=1e-12)
    assert len(metrics) == 2 * (7 + 7 + 2)


def test_against_mmdet_and_pycocotools():
    samples = [random_sample(1 + seed % 3, seed=seed, size=(9 + seed, 31 - seed)) for seed in range(12)]
    samples.append(random_sample(1, seed=12))
    samples[-1].coarse.small[:] = -1  # nothing found
    metrics = evaluate([samples], num_items=len(samples))
    for source, field in (('coarse', 'pred_masks'), ('refined', 'sam_pred_masks')):
        for key, value in refsegmetric(samples, field).items():  # float32
            assert metrics[f'val/{source}/{key}'] == pytest.approx(value, rel=1e-6)
        assert metrics[f'val/{source}/mIoU'] == pytest.approx(100 * np.mean(coco_ious(samples, field)), rel=1e-12)


def test_a_phrase_without_a_target():
    """Three phrases, of which the last two mean nothing in the image; coarse finds something for one of them."""
    truths, coarse, refined = (torch.zeros(3, 4, 4, dtype=torch.bool) for _ in range(3))
    truths[0, :2] = coarse[0, 1:3] = refined[0, :2] = True
    coarse[1, 0] = True
    metrics = evaluate([[predicted_sample(truths, coarse, refined)]], num_items=1)
    assert metrics == pytest.approx(
        {
            **{'val/coarse/mIoU': 100 / 3, 'val/coarse/gIoU': 100 * (1 / 3 + 0 + 1) / 3, 'val/coarse/cIoU': 400 / 16},
            **{'val/coarse/N_acc': 50, 'val/coarse/T_acc': 100},
            **{f'val/coarse/Pr@0.{tenth}': 0 for tenth in range(5, 10)},
            **{f'val/refined/{key}': 100 for key in ('mIoU', 'gIoU', 'cIoU', 'N_acc', 'T_acc')},
            **{f'val/refined/Pr@0.{tenth}': 100 for tenth in range(5, 10)},
        }
    )


def test_intervals_where_they_are_asked_for():
    samples = [random_sample(2, seed=seed, image_path=f'{seed}.jpg') for seed in range(5)]
    plain, bounded = (evaluate([samples], num_items=5, num_bootstrap=number) for number in (0, 100))
    assert bounded.keys() - plain.keys() == {f'{key}{end}' for key in plain for end in ('_low', '_high')}
    assert plain.items() <= bounded.items()
    assert bounded['val/refined/mIoU_low'] < plain['val/refined/mIoU'] < bounded['val/refined/mIoU_high']


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
    assert next(iter(evaluate([samples], num_items=2))) == 'b/refined/mIoU'
    assert next(iter(evaluate([samples], num_items=2, prefix='own'))) == 'own/b/refined/mIoU'
    samples[0].gt_masks[:] = False
    assert next(iter(evaluate([samples], num_items=2))) == 'b/refined/gIoU'


def test_a_sample_without_truth_is_named():
    sample = random_sample(1, seed=0)
    sample.masks = sample.gt_masks = None
    with pytest.raises(ValueError, match=r"image 'folder/photo.jpg' of 'val' has no truth masks, .*\(LoadMasks in the"):
        GroundingMetric().process({}, [sample])
