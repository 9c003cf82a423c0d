"""The experiment of videos: what its tables say, from scores written by hand, and what its LMM learns from first."""

import json

import pytest
from reading_videos.report import write_report
from reading_videos.training import write_moments

from flmm.shapes import build_video_dataset


def score(condition, kind, region, contour, source='refined'):
    return {'condition': condition, 'kind': kind, 'source': source, 'J': region, 'F': contour}


def test_tables_are_means_over_expressions_then_over_seeds(tmp_path):
    files = {}
    for seed, shift in ((0, 0.0), (1, 0.2)):
        files[seed] = [tmp_path / f'{seed}.json']
        scores = [
            score('video', 'colour', 0.5 + shift, 0.7 + shift),
            score('video', 'motion:moves', 0.1, 0.3),
            score('video', 'motion:moves', 0.3, 0.5),
            score('video', 'colour', 0.2, 0.2, source='coarse'),
            score('held', 'colour', 1.0, 1.0),
        ]
        files[seed][0].write_text(json.dumps(scores))
    text = write_report(files, tmp_path)
    tables = json.loads((tmp_path / 'tables.json').read_text())
    assert tables['ways'] == [
        ['frames read as', 'J&F all', 'J&F still', 'J&F motion', 'J', 'F', 'coarse J&F'],
        [
            'video tokens',
            '43.3 (40.0 to 46.7)',
            '70.0 (60.0 to 80.0)',
            '30.0 (30.0 to 30.0)',
            '33.3 (30.0 to 36.7)',
            '53.3 (50.0 to 56.7)',
            '20.0 (20.0 to 20.0)',
        ],
        ['first frame alone, its mask held', *['100.0 (100.0 to 100.0)'] * 2, '', *['100.0 (100.0 to 100.0)'] * 2, ''],
    ]
    assert tables['kinds'] == [
        ['kind', 'expressions', 'video tokens', 'first frame alone, its mask held'],
        ['colour', '1', '70.0', '100.0'],
        ['motion:moves', '2', '30.0', ''],
    ]
    assert text.splitlines()[2].startswith('| video tokens | 43.3 (40.0 to 46.7) |')


def test_moments_are_the_conversations_about_two_frames(tmp_path):
    build_video_dataset(tmp_path / 'shapes', num_videos={'train': 2}, seed=1)
    write_moments(tmp_path / 'shapes', tmp_path / 'moments.jsonl')
    videos = [
        json.loads(line)['messages'][0]['content'][0]['video']
        for line in (tmp_path / 'moments.jsonl').read_text().splitlines()
    ]
    folders = [f'train/JPEGImages/{number:07d}' for number in (1, 2)]
    assert videos == [
        [f'{folder}/{frame:05d}.jpg' for frame in (start, start + 1)] for folder in folders for start in (0, 2, 4, 6)
    ]


def test_data_without_moments_are_refused(tmp_path):
    (tmp_path / 'chat.jsonl').write_text('{"messages": [{"content": [{"type": "image", "image": "a.png"}]}]}\n')
    with pytest.raises(
        ValueError, match=r'chat.jsonl has no conversation about a moment; draw it anew: python tools/ma'
    ):
        write_moments(tmp_path, tmp_path / 'moments.jsonl')
