"""The measurement of reinforcement: its scenes, its figures, and all of it at once, short."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from reinforcement.conditions import CONDITIONS, REWARD
from reinforcement.measure import FORMAT
from reinforcement.report import accuracy_rows, change_rows, reward_rows
from reinforcement.scenes import LOCATION_TOKENS, write_scenes
from reinforcement.training import ShuffledReward
from tiny_refcoco import run_tool

from flmm.pretrained import load_processor
from flmm.reinforce import REWARDS, PromptDataset


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes'), seed=3, number=12)


def test_answers_of_the_data_are_readable_and_name_every_shape(scenes):
    prompts = PromptDataset(scenes, load_processor('assets/demo_lmm'), needs={'rles'}, assistant_tokens=LOCATION_TOKENS)
    found = []
    for number, line in enumerate(scenes.read_text().splitlines()):
        row, said = prompts[number], json.loads(line)['messages'][1]['content']
        answer = FORMAT.parse(said, row['frame'])
        assert len(answer) == row['truth'].count
        found.append(REWARDS['point_in_mask'].score(answer, row['truth']))
    # The middle of a unit is not always on the shape: it lies in rings, and between the arms of crosses.
    assert 0.7 < np.mean(found) <= 1


def test_scenes_depend_on_the_seed_alone_and_are_drawn_once(scenes, tmp_path):
    again = write_scenes(tmp_path, seed=3, number=12)
    assert again.read_text() == scenes.read_text()
    again.write_text('kept')
    assert write_scenes(tmp_path, seed=3, number=12).read_text() == 'kept'


def test_the_control_deals_the_same_rewards_out_anew(monkeypatch):
    monkeypatch.setattr('flmm.reinforce.TrlReward.__call__', lambda self, **kwargs: list(range(20)))
    reward = ShuffledReward('point_in_mask', answer_format=FORMAT)
    first, again, later = (reward(trainer_state=SimpleNamespace(global_step=step)) for step in (1, 1, 2))
    assert sorted(first) == sorted(later) == list(range(20))
    assert first == again != later
    assert first != list(range(20))


def test_figures_of_given_answers(tmp_path):
    for seed in (0, 1):
        for number, name in enumerate(CONDITIONS):
            folder = tmp_path / f'seed_{seed}' / name
            folder.mkdir(parents=True)
            row = {'said': 'a.b', 'point_in_mask': 0.1 * number + 0.02 * seed, 'mask_iou': 0.2}
            document = {'seconds': 10 + 20 * seed, 'greedy': [row], 'sampled': [row, {**row, 'point_in_mask': 0}]}
            (folder / 'answers.json').write_text(json.dumps(document))
            log = [
                {'reward': 0.1 * step, 'kl': 0.5, 'entropy': 1, 'completions/mean_length': 6} for step in range(4)
            ] + [{'train_runtime': 1}]
            (folder / 'trainer_state.json').write_text(json.dumps({'log_history': log}))
    label = CONDITIONS['point']
    (row,) = (row for row in accuracy_rows(tmp_path, [0, 1]) if row[0] == label)
    spreads = ['21.0 (20.0 to 22.0)', '20.0 (20.0 to 20.0)', '10.5 (10.0 to 11.0)', '20.0 (20.0 to 20.0)']
    assert row[1:] == [*spreads, '2.0', '20']
    assert change_rows(tmp_path, [0, 1])[2] == [label, '20.0, 20.0', '0.0, 0.0']
    assert reward_rows(tmp_path, [0, 1])[1] == [
        label, '0.000', '0.300', '0.500', '0.500', '1.000', '1.000', '6.000', '6.000'
    ]  # fmt: skip


@pytest.mark.slow
def test_the_whole_of_it_short(tmp_path):
    options = ['--shorten', '20', '--seeds', '0', '--work-dir', tmp_path]
    run_tool('research/reinforce_demo', *options)
    tables = json.loads((tmp_path / 'tables.json').read_text())
    assert [row[0] for row in tables['accuracy'][1:]] == list(CONDITIONS.values())
    assert [row[0] for row in tables['rewards'][1:]] == [CONDITIONS[name] for name in REWARD]
    before = tmp_path / 'seed_0' / 'before' / 'answers.json'
    stamp = before.stat().st_mtime_ns
    run_tool('research/reinforce_demo', *options)
    assert before.stat().st_mtime_ns == stamp
