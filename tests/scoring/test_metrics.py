import random

import numpy as np
import pytest

from flmm.phrase_info import PhraseInfo
from flmm.scoring import PhraseScore, grounding_metrics

COMMON = {'dataset_name': 'val', 'source': 'refined', 'image': 'a.jpg'}


def score(intersection, union, *, has_target=True, says_absent=False, **fields):
    counts = {'intersection': intersection, 'union': union, 'has_target': has_target, 'says_absent': says_absent}
    return PhraseScore(**{**COMMON, **counts, **fields})


def present(intersection, union, **fields):
    return score(intersection, union, **fields)


def silent(truth, **fields):
    """There is a target of so many px, and the prediction says that there is none."""
    return score(0, truth, says_absent=True, **fields)


def missed(area, **fields):
    """There is no target, and the prediction has so many px."""
    return score(0, area, has_target=False, **fields)


def told(**fields):
    """There is no target, and the prediction says so."""
    return score(0, 0, has_target=False, says_absent=True, **fields)


def metrics_of(scores, **options):
    found = grounding_metrics(scores, **options)
    assert all(key.startswith('val/refined/') for key in found)
    return {key.removeprefix('val/refined/'): value for key, value in found.items()}


def test_targets_alone():
    found = metrics_of([present(1, 2), present(9, 10), present(7, 10), silent(8)])
    assert found == pytest.approx(
        {
            'mIoU': 100 * (0.5 + 0.9 + 0.7) / 4,
            'cIoU': 100 * 17 / 30,
            'Pr@0.5': 75.0,  # 0.5 itself counts
            'Pr@0.6': 50.0,
            'Pr@0.7': 50.0,  # 7 / 10 is the number 0.7
            'Pr@0.8': 25.0,
            'Pr@0.9': 25.0,
        }
    )


def test_with_phrases_without_a_target():
    """By hand, after GRES: sums of I 4 + 9, of U 8 + 10 + 5 (missed target) + 7 (px where nothing is)."""
    found = metrics_of([present(4, 8), present(9, 10), silent(5), missed(7), told(), told()])
    assert found == pytest.approx(
        {
            'mIoU': 100 * (0.5 + 0.9 + 0) / 3,
            'gIoU': 100 * (0.5 + 0.9 + 0 + 0 + 1 + 1) / 6,
            'cIoU': 100 * 13 / 30,
            'N_acc': 100 * 2 / 3,
            'T_acc': 100 * 2 / 3,
            'Pr@0.5': 100 * 2 / 3,
            'Pr@0.6': 100 / 3,
            'Pr@0.7': 100 / 3,
            'Pr@0.8': 100 / 3,
            'Pr@0.9': 100 / 3,
        }
    )


def test_an_empty_mask_that_is_said_to_be_there_is_a_miss():
    found = metrics_of([score(0, 0, has_target=False), score(0, 6), present(3, 3)])
    assert (found['N_acc'], found['T_acc'], found['gIoU']) == pytest.approx((0, 100, 100 / 3))
    assert found['cIoU'] == pytest.approx(100 * 3 / 9)


def test_no_phrase_with_a_target():
    assert metrics_of([told(), missed(4), missed(6), told()]) == {'gIoU': 50.0, 'cIoU': 0.0, 'N_acc': 50.0}


@pytest.mark.filterwarnings('error')
def test_no_pixel_at_all_has_no_ciou():
    found = metrics_of([told(), told(image='b.jpg')], num_bootstrap=10)
    assert found == {
        **{'gIoU': 100.0, 'gIoU_low': 100.0, 'gIoU_high': 100.0},
        **{'N_acc': 100.0, 'N_acc_low': 100.0, 'N_acc_high': 100.0},
    }


def test_kinds():
    named = {kind: {'info': PhraseInfo(kind=kind)} for kind in ('color', 'none', 'both')}
    found = metrics_of(
        [
            present(1, 2, **named['color']), present(1, 4, **named['color']), present(3, 4),
            told(**named['none']), missed(3, **named['none']), missed(3, **named['none']),
            present(1, 1, **named['both']), told(**named['both']),
        ]
    )  # fmt: skip
    assert {key: value for key, value in found.items() if '/' in key} == pytest.approx(
        {'mIoU/both': 100, 'mIoU/color': 37.5, 'N_acc/both': 100, 'N_acc/none': 100 / 3}
    )


def swept(ious):
    """Average recall as Panoptic Narrative Grounding's code sums it up, at 100,000 thresholds."""
    thresholds = np.arange(0, 1, 1e-5)
    ordered = np.sort(ious)
    recalls = 1 - np.searchsorted(ordered, thresholds, side='left') / len(ordered)  # share of IoU >= threshold
    return (recalls * 1e-5).sum()


def test_average_recall_is_the_sweep_over_thresholds():
    rng = np.random.default_rng(0)
    scores = []
    for index in range(500):
        union = int(rng.integers(1, 5000))
        intersection = int(rng.integers(0, union + 1)) if index % 10 else (0, union)[index // 10 % 2]
        info = PhraseInfo(thing=bool(rng.integers(2)), plural=bool(rng.random() < 0.3))
        scores.append(present(intersection, union, info=info))
    found = metrics_of(scores)
    groups = {
        'AR': scores,
        'AR_things': [each for each in scores if each.info.thing],
        'AR_stuff': [each for each in scores if not each.info.thing],
        'AR_singulars': [each for each in scores if not each.info.plural],
        'AR_plurals': [each for each in scores if each.info.plural],
    }
    assert {key for key in found if key.startswith('AR')} == groups.keys()
    for key, members in groups.items():
        assert len(members) > 50
        assert found[key] / 100 == pytest.approx(swept([each.iou for each in members]), abs=1e-5)
    assert found['AR'] == found['mIoU']


def test_average_recall_is_over_what_the_dataset_says():
    scores = [present(1, 2, info=PhraseInfo(thing=True)), present(1, 4, info=PhraseInfo(plural=False)), present(1, 1)]
    recalls = {key: value for key, value in metrics_of(scores).items() if key.startswith('AR')}
    assert recalls == {'AR': 37.5, 'AR_things': 50.0, 'AR_singulars': 25.0}


def random_scores(num_images=40):
    rng = random.Random(0)
    scores = []
    for name in ('b', 'a'):
        for source in ('coarse', 'refined'):
            for _ in range(100):
                info = PhraseInfo(kind=rng.choice(['color', None]), plural=rng.choice([True, False]))
                make = rng.choices([present, silent, missed, told], weights=(6, 1, 1, 1))[0]
                counts = sorted(rng.choices(range(1, 99), k=2))
                arguments = counts if make is present else [] if make is told else counts[1:]
                image = f'{rng.randrange(num_images)}.jpg'
                scores.append(make(*arguments, source=source, dataset_name=name, info=info, image=image))
    return scores


def test_the_order_of_phrases_changes_no_digit():
    scores = random_scores()
    shuffled = random.Random(1).sample(scores, k=len(scores))
    assert grounding_metrics(shuffled, num_bootstrap=50) == grounding_metrics(scores, num_bootstrap=50)


def test_test_sets_and_sources_are_apart_and_the_first_refined_comes_first():
    scores = random_scores()
    found = grounding_metrics(scores)
    assert next(iter(found)) == 'b/refined/mIoU'  # save_best='auto' of mmengine takes it
    parts = {}
    for name in ('b', 'a'):
        for source in ('refined', 'coarse'):
            parts |= grounding_metrics([each for each in scores if (each.dataset_name, each.source) == (name, source)])
    assert list(found.items()) == list(parts.items())


def test_intervals_stand_behind_their_metric_and_hold_it():
    found = grounding_metrics(random_scores(), num_bootstrap=200)
    plain = grounding_metrics(random_scores())
    assert {key: found[key] for key in plain} == plain
    assert len(found) == 3 * len(plain)
    for key, value in plain.items():
        name, source, metric, *kind = key.split('/')
        low, high = ('/'.join([name, source, f'{metric}{end}', *kind]) for end in ('_low', '_high'))
        assert 0 <= found[low] <= value <= found[high] <= 100
        assert found[high] > found[low]
        place = list(found).index(key)
        assert list(found)[place : place + 3] == [key, low, high]


def test_a_single_image_has_no_interval():
    assert metrics_of([present(1, 2), present(3, 4)], num_bootstrap=100) == metrics_of([present(1, 2), present(3, 4)])


def test_values_are_plain_floats():
    assert {type(value) for value in grounding_metrics(random_scores(), num_bootstrap=20).values()} == {float}


def test_no_phrase_has_no_metric():
    assert grounding_metrics([]) == {}
