"""The experiment of videos: what its tables say, from scores written by hand, and what its LMM learns from first."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from reading_videos.answers import UNSAID, ask, questions
from reading_videos.report import write_report
from reading_videos.training import finetune, write_moments

from flmm.pretrained import load_processor
from flmm.shapes import build_video_dataset, generate_video, video_config


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
    rights = {'still': [True, False], 'motion': [True, True, False], UNSAID: [False, True, False, False]}
    said = [{'group': group, 'right': right} for group, each in rights.items() for right in each]
    answers = {name: tmp_path / f'{name}.json' for name in ('tuned', 'untuned')}
    answers['tuned'].write_text(json.dumps(said))
    answers['untuned'].write_text(json.dumps([{**each, 'right': False} for each in said]))
    text = write_report(files, answers, tmp_path)
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
    assert tables['answers'] == [
        ['places that the LMM says, percent right', 'still', 'motion', 'motion left unsaid'],
        ['the demo LMM as it ships', '0.0', '0.0', '0.0'],
        ['tuned on shapes in motion', '50.0', '66.7', '25.0'],
    ]
    assert text.splitlines()[7].startswith('| video tokens | 43.3 (40.0 to 46.7) |')


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


def test_sentences_are_asked_alone_and_motion_left_out_where_it_was_said(tmp_path):
    build_video_dataset(tmp_path, num_videos={'test': 2}, seed=4, fps=3.0)
    asked = list(questions(tmp_path))
    sentences = [
        sentence
        for index in range(2)
        for sentence in generate_video(index, seed=4, split='test', config=video_config('medium', fps=3.0)).sentences
    ]
    expected = []
    for sentence in sentences:
        if not sentence.kind.startswith('motion'):
            expected.append(('still', sentence.text))
            continue
        expected += [('motion', sentence.text), (UNSAID, sentence.text.split(' that ')[0])]
    found = [(group, each['messages'][1]['content'][0]['text'].partition('<')[0].rstrip('-')) for group, each in asked]
    assert found == expected
    assert {group for group, _ in asked} == {'still', 'motion', UNSAID}


def test_the_likeliest_column_and_row_are_compared_with_the_true_ones(tmp_path, monkeypatch):
    """An LMM that says one place for all: it is right exactly where that is the first place of the answer."""
    build_video_dataset(tmp_path / 'shapes', num_videos={'test': 1})
    processor = load_processor('assets/demo_lmm')
    asked = [(group, each['messages'][1]['content'][0]['text']) for group, each in questions(tmp_path / 'shapes')]
    places = [re.search(r'(<x\d+>)(<y\d+>)', text).groups() for _, text in asked]
    said = processor.tokenizer.convert_tokens_to_ids(places[0])

    def one_place(input_ids, **inputs):
        logits = torch.zeros(*input_ids.shape, len(processor.tokenizer))
        logits[..., said] = 1.0
        return SimpleNamespace(logits=logits)

    lmm = SimpleNamespace(eval=lambda: one_place)
    monkeypatch.setattr('reading_videos.answers.load_lmm', lambda *args, **kwargs: lmm)
    ask('assets/demo_lmm', tmp_path / 'shapes', tmp_path / 'answers.json')
    expected = [{'group': group, 'right': place == places[0]} for (group, _), place in zip(asked, places, strict=True)]
    assert len({each['right'] for each in expected}) == 2
    assert json.loads((tmp_path / 'answers.json').read_text()) == expected


def test_fine_tuning_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr('reading_videos.training._run', lambda *command: calls.append(command))
    settings = {'data': tmp_path / 'chat.jsonl', 'image_root': tmp_path, 'steps': 9, 'batch_size': 8, 'lr': 1e-3}
    finetune('model', tmp_path / 'lmm', **settings)
    (tmp_path / 'lmm' / 'checkpoint-5').mkdir(parents=True)
    finetune('model', tmp_path / 'lmm', **settings)
    begun, resumed = calls
    assert '--resume' not in begun
    assert [option for option in resumed if option != '--resume'] == list(begun)
    assert len(resumed) == len(begun) + 1
