"""Metrics of videos from the scores of expressions, by hand."""

import numpy as np
import pytest

from flmm.phrase_info import PhraseInfo
from flmm.scoring import VideoScore, format_table, video_metrics


def score(region, contour, *, kind=None, source='refined', name='val', target=True, absent=False, video='a'):
    return VideoScore(
        dataset_name=name, source=source, video=video, region=region, contour=contour, has_target=target,
        says_absent=absent, info=PhraseInfo(kind=kind),
    )  # fmt: skip


def test_means_over_expressions_by_test_set_source_and_kind():
    scores = [
        score(0.5, 0.7, source='coarse', kind='colour'),
        score(0.2, 0.4, source='coarse', kind='motion:stops'),
        score(0.8, 1.0, kind='colour'),
        score(0.6, 0.4, kind='motion:stops'),
        score(0.1, 0.3, kind='motion:moves'),
        score(0.9, 0.7, name='test'),
    ]
    assert video_metrics(scores) == pytest.approx(
        {
            'val/refined/J&F': 100 * (0.9 + 0.5 + 0.2) / 3,
            'val/refined/J': 50,
            'val/refined/F': 100 * 1.7 / 3,
            'val/refined/J&F/colour': 90,
            'val/refined/J&F/motion': 35,
            'val/refined/J&F/motion:moves': 20,
            'val/refined/J&F/motion:stops': 50,
            'val/coarse/J&F': 45,
            'val/coarse/J': 35,
            'val/coarse/F': 55,
            'val/coarse/J&F/colour': 60,
            'val/coarse/J&F/motion': 30,
            'val/coarse/J&F/motion:stops': 30,
            'test/refined/J&F': 80,
            'test/refined/J': 90,
            'test/refined/F': 70,
        }
    )
    assert next(iter(video_metrics(scores))) == 'val/refined/J&F'
    assert video_metrics([]) == {}


def test_expressions_without_a_target_have_metrics_of_their_own():
    scores = [
        score(0.4, 0.6, kind='colour'),
        score(0.0, 0.0, absent=True),
        score(1.0, 1.0, target=False, absent=True, kind='absent'),
        score(0.5, 0.5, target=False, kind='absent'),
        score(0.5, 0.5, target=False, kind='absent'),
    ]
    assert video_metrics(scores) == pytest.approx(
        {
            'val/refined/J&F': 25,
            'val/refined/J': 20,
            'val/refined/F': 30,
            'val/refined/N_acc': 100 / 3,
            'val/refined/T_acc': 50,
            'val/refined/J&F/colour': 50,
            'val/refined/N_acc/absent': 100 / 3,
        }
    )
    assert video_metrics(scores[2:]).keys() == {'val/refined/N_acc', 'val/refined/N_acc/absent'}


def test_intervals_draw_videos():
    rng = np.random.default_rng(0)
    scores = [score(*rng.random(2), video=str(number // 2), kind='motion:stops') for number in range(12)]
    found = video_metrics(scores, num_bootstrap=200)
    for key in ('J&F', 'J', 'F'):
        assert found[f'val/refined/{key}_low'] < found[f'val/refined/{key}'] < found[f'val/refined/{key}_high']
    assert found['val/refined/J&F_low/motion'] == found['val/refined/J&F_low']
    assert 'val/refined/J&F_low' not in video_metrics(scores[:2], num_bootstrap=200)  # of one video


def test_the_table_has_them():
    scores = [score(0.5, 0.7, kind='motion:stops'), score(0.2, 0.4, source='coarse', kind='motion:stops')]
    assert format_table(video_metrics(scores)) == (
        '              val\n'
        'refined J&F  60.0\n'
        'refined J    50.0\n'
        'refined F    70.0\n'
        'coarse J&F   30.0\n'
        'coarse J     20.0\n'
        'coarse F     40.0\n'
        '\n'
        'Not shown, but in the JSON file of all metrics: J&F of kinds'
    )
    assert 'refined J&F: motion:stops  60.0\n' in format_table(video_metrics(scores), metrics=None)
