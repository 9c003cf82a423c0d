"""tools/plot_log.py on the logs of trainings: by the series that it draws."""

import sys

import plot_log
import pytest
from PIL import Image
from tiny_refcoco import train

import flmm.visualization
from flmm.run_series import read_series


@pytest.fixture
def run(monkeypatch):
    """Run the tool; return what it draws."""

    def run(*arguments):
        drawn = {}

        def draw_curves(runs, **settings):
            drawn.update(runs=runs, **settings)
            return original(runs, **settings)

        original = flmm.visualization.curves.draw_curves
        monkeypatch.setattr(flmm.visualization, 'draw_curves', draw_curves)
        monkeypatch.setattr(sys, 'argv', ['plot_log.py', *map(str, arguments)])
        plot_log.main()
        return drawn

    return run


def test_a_resumed_training_is_one_line(config, trained, run, tmp_path, capsys):
    """Two epochs at once, and the second one again, resumed after the first."""
    work_dir = tmp_path / 'resumed'
    train(config, work_dir, 'train_cfg.max_epochs=1')
    (first,) = [path for path in work_dir.iterdir() if path.is_dir()]
    first.rename(work_dir / '20000101_000000')
    train(config, work_dir, resume=['--resume', work_dir / 'epoch_1.pth'])

    drawn = run(trained.work_dir, work_dir, '--out', tmp_path / 'log.png', '--smooth', '2')
    assert drawn['smooth'] == 2
    whole, joined = drawn['runs'].values()
    assert list(drawn['runs']) == [str(trained.work_dir), str(work_dir)]
    for key in ('loss', 'lr', 'shapes_val_first_sentence/refined/mIoU'):
        assert list(joined[key]) == [2, 4]
        assert key in drawn['keys']
    assert joined['shapes_val_first_sentence/refined/mIoU'] == whole['shapes_val_first_sentence/refined/mIoU']
    assert 'time' not in drawn['keys']
    assert Image.open(tmp_path / 'log.png').width > 380
    assert capsys.readouterr().out.splitlines()[-1].startswith(f'{tmp_path / "log.png"}: loss, loss_dice')


def test_chosen_keys(trained, run, tmp_path):
    drawn = run(trained.work_dir, '--keys', 'images_per_s', '*refined/mIoU', '*mIoU', '--out', tmp_path / 'log.png')
    name = 'shapes_val_first_sentence'
    assert drawn['keys'] == ['images_per_s', f'{name}/refined/mIoU', f'{name}/coarse/mIoU']
    assert drawn['smooth'] == 1


def test_keys_that_are_not_there(trained, run):
    with pytest.raises(ValueError, match=r"nothing was logged under 'los'; there are: base_lr, .*loss, "):
        run(trained.work_dir, '--keys', 'los', 'lr')


def test_smoothing_needs_a_window(trained, run):
    with pytest.raises(ValueError, match='--smooth is 0, expected 1 or more'):
        run(trained.work_dir, '--smooth', '0')


def test_all_keys_are_listed(trained, run, capsys):
    assert run(trained.work_dir, '--list') == {}
    assert capsys.readouterr().out.split() == sorted(read_series(trained.work_dir))
