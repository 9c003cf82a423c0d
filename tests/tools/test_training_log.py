"""What the log of a training says before its first iteration, and with each."""

import json
import re

import pytest
from mmengine.config import Config
from PIL import Image
from same_run import assert_same_run, load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_refcoco import train

import flmm


def test_the_head_of_a_log_fits_a_screen(trained):
    (path,) = trained.work_dir.glob('*/*.log')
    head, _, _ = path.read_text().partition('Epoch(train)')
    assert len(head.splitlines()) < 40
    assert f'flmm {flmm.__version__}, python 3' in head
    assert re.search(r'^    VERY_HIGH    RuntimeInfoHook, FiniteCheckHook$', head, re.MULTILINE)
    assert 'paramwise' not in head
    assert re.search(r'^    lr 0\.002, weight_decay 0\.01: \d+ tensors', head, re.MULTILINE)
    assert re.search(r'^    frozen: \d+ tensors, [\d,]+ values of lmm, sam$', head, re.MULTILINE)


def test_what_the_head_leaves_out_lies_in_the_files_that_it_names(trained):
    (path,) = trained.work_dir.glob('*/*.log')
    named = dict(re.findall(r'^    (environment|config): (.*)$', path.read_text(), re.MULTILINE))
    with open(named['environment']) as file:
        lines = dict(line.rstrip('\n').split(': ', 1) for line in file if re.match(r'[A-Za-z_.]+: ', line))
    assert lines['seed'] == '0'
    assert lines['launcher'] == 'none'
    assert lines['cudnn_benchmark'] == 'False'
    assert Config.fromfile(named['config']).train_cfg.max_epochs == 2


def test_every_logged_iteration_says_how_fast_it_was(trained):
    (path,) = trained.work_dir.glob('*/vis_data/scalars.json')
    lines = [line for line in map(json.loads, path.read_text().splitlines()) if 'loss' in line]
    assert len(lines) == 2
    for line, step in zip(lines, (2, 4), strict=True):
        assert line['step'] == step
        # Two batches of two images, with three phrases a pass or more, in the time of the window's two or four.
        assert abs(line['images_per_s'] * line['time'] - 2) < 1e-3
        assert line['phrases_per_s'] >= line['images_per_s']
        assert line['kept_tokens'] == 1
        assert line['host_memory'] > 100


def test_every_backend_gets_the_scalars_and_the_pictures_and_the_run_stays_the_same(config, trained, tmp_path):
    """Of TensorBoard's file beside the log of a run with neither, bit by bit."""
    work_dir = tmp_path / 'run'
    train(
        config, work_dir, 'visualizer.vis_backends=[LocalVisBackend,TensorboardVisBackend]',
        '+default_hooks.pictures.type=ValidationPicturesHook', '+default_hooks.pictures.num_samples=1',
    )  # fmt: skip
    assert_same_run(load(work_dir / 'epoch_2.pth'), load(trained.work_dir / 'epoch_2.pth'))

    (folder,) = work_dir.glob('*/vis_data')
    lines = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    events = EventAccumulator(str(folder)).Reload()
    for key in ('loss', 'images_per_s', 'kept_tokens', 'host_memory', 'shapes_val_first_sentence/refined/mIoU'):
        written = [(line['step'], pytest.approx(line[key], rel=1e-6)) for line in lines if key in line]
        assert [(event.step, event.value) for event in events.Scalars(key)] == written
        assert [step for step, _ in written] == [2, 4]
    picture = 'shapes_val_first_sentence/5_0_0'
    assert [image.step for image in events.Images(picture)] == [2, 4]
    for step in (2, 4):
        assert Image.open(folder / 'vis_image' / f'{picture}_{step}.png').width == 1050
