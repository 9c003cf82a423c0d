import json
import math

import pytest

from flmm.run_series import read_series, smoothed


def write(work_dir, time, *lines, end=''):
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(line)}\n' for line in lines) + end)


def step(number, **values):
    return {**values, 'epoch': 1, 'iter': number, 'step': number}


def test_series_of_one_run(tmp_path):
    validation = {'val/refined/mIoU': 31.5, 'time': 0.25, 'data_time': 0.125, 'step': 40}
    write(tmp_path, '20260101_000000', step(20, loss=3.0, time=0.5), step(40, loss=2.0, time=0.75, lr=1), validation)
    assert read_series(tmp_path) == {
        'loss': {20: 3.0, 40: 2.0},
        'time': {20: 0.5, 40: 0.75},
        'lr': {40: 1.0},
        'val/refined/mIoU': {40: 31.5},
        'val/time': {40: 0.25},
        'val/data_time': {40: 0.125},
    }


def test_later_folders_replace_what_they_reach_again(tmp_path):
    """Killed at 70 and resumed at 40; then at 65; then begun anew. Tests write no scalars."""
    write(tmp_path, '20260101_000000', *(step(number, loss=number) for number in (20, 40, 60)))
    write(tmp_path, '20260101_230000', *(step(number, loss=-number) for number in (60, 80)))
    (tmp_path / '20260102_000000' / 'vis_data').mkdir(parents=True)
    assert read_series(tmp_path) == {'loss': {20: 20, 40: 40, 60: -60, 80: -80}}
    write(tmp_path, '20260103_000000', step(60, loss=0.5), {'mIoU': 1.0, 'step': 60})
    write(tmp_path, '20260103_000001')  # killed before its first line
    assert read_series(tmp_path) == {'loss': {20: 20, 40: 40, 60: 0.5}, 'mIoU': {60: 1.0}}
    write(tmp_path, '20260104_000000', step(20, other=7))
    assert read_series(tmp_path) == {'other': {20: 7}}


def test_a_killed_training_leaves_part_of_a_line(tmp_path):
    write(tmp_path, '20260101_000000', step(20, loss=3.0), end='{"loss": 2.0, "st')
    assert read_series(tmp_path) == {'loss': {20: 3.0}}


@pytest.mark.parametrize('line', ['{"loss": 2.0, "st', '[1, 2]', '{"loss": 2.0}', ''])
def test_a_broken_line(line, tmp_path):
    write(tmp_path, '20260101_000000', step(20, loss=3.0), end=f'{line}\n{json.dumps(step(60, loss=1.0))}\n')
    with pytest.raises(ValueError, match=r"scalars\.json', line 2: .* is no JSON object with a step"):
        read_series(tmp_path)


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    write(tmp_path, '20260101_000000', step(20, loss=math.nan), step(40, loss=math.inf))
    loss = read_series(tmp_path)['loss']
    assert math.isnan(loss[20])
    assert loss[40] == math.inf


def test_no_log(tmp_path):
    with pytest.raises(ValueError, match=r'has no \*/vis_data/scalars\.json: give a work dir of tools/train\.py'):
        read_series(tmp_path)


@pytest.mark.parametrize(('window', 'expected'), [(1, [4, 2, 6, 8]), (2, [4, 3, 4, 7]), (9, [4, 3, 4, 5])])
def test_smoothing(window, expected):
    assert smoothed([4.0, 2.0, 6.0, 8.0], window=window) == expected
