"""Training leaves out items that no sample can be made of: absent, counted, alike in resumed and distributed runs."""

import json
import shutil

import pytest
import torch
from processes import exit_codes, launch, start_function
from same_run import assert_same, assert_same_run, load
from tiny_refcoco import run_tool, train

SGD = """
_base_ = {base!r}
train_dataloader = dict(
    batch_size={batch_size}, sampler=dict(shuffle=False),
    dataset=dict(text_mode='select_first', indices={indices}, data_root={root!r}, max_skipped={max_skipped}),
)
train_cfg = dict(max_epochs=1)
val_dataloader = val_cfg = val_evaluator = None
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1.0))
param_scheduler = None
"""


@pytest.fixture(scope='module')
def broken_root(config, tmp_path_factory):
    """The data of the tiny config, of which the second picture (item 1) is cut off."""
    root = tmp_path_factory.mktemp('broken') / 'data'
    shutil.copytree(config.parent / 'data', root)
    with (root / 'images' / '2.png').open('r+b') as file:
        file.truncate(500)
    return root


@pytest.fixture
def sgd(config, broken_root, tmp_path):
    """Write a config whose steps are gradients, over these items."""

    def write(name, *, indices, batch_size, max_skipped=0.5):
        path = tmp_path / f'{name}.py'
        settings = {'indices': indices, 'batch_size': batch_size, 'max_skipped': max_skipped}
        path.write_text(SGD.format(base=str(config), root=str(broken_root), **settings))
        return path

    return write


def log(work_dir):
    return ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


def scalars(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize('workers', [0, 2])
def test_an_item_that_is_left_out_is_absent(sgd, tmp_path, workers):
    """The step of a batch of two of which one is broken is that of the other alone."""
    train(sgd('pair', indices=[0, 1], batch_size=2), tmp_path / 'pair', f'train_dataloader.num_workers={workers}')
    train(sgd('alone', indices=[0], batch_size=2), tmp_path / 'alone')
    found, expected = load(tmp_path / 'pair' / 'epoch_1.pth'), load(tmp_path / 'alone' / 'epoch_1.pth')
    assert_same(found['state_dict'], expected['state_dict'], 'state_dict')
    assert found['meta']['skipped_items']['count'] == 1
    said = log(tmp_path / 'pair')
    assert said.count("an item is left out: image '") == 1
    assert "images/2.png' cannot be read (" in said
    assert '1 of 2 items were left out of this pass through the data (max_skipped=0.5)' in said


def test_an_empty_batch_is_a_step_of_no_gradient_and_no_loss(sgd, tmp_path):
    train(sgd('pair', indices=[0, 1], batch_size=1), tmp_path / 'pair', 'default_hooks.logger.interval=1')
    train(sgd('alone', indices=[0], batch_size=1), tmp_path / 'alone')
    found, expected = load(tmp_path / 'pair' / 'epoch_1.pth'), load(tmp_path / 'alone' / 'epoch_1.pth')
    assert_same(found['state_dict'], expected['state_dict'], 'state_dict')
    assert found['meta']['iter'] == 2  # the epoch is as long as ever
    assert 'loss_empty' not in log(tmp_path / 'pair')
    losses = found['message_hub']['log_scalars']['train/loss']['log_history'].tolist()
    assert losses == expected['message_hub']['log_scalars']['train/loss']['log_history'].tolist()


def test_the_other_process_goes_on_with_what_it_has(sgd, tmp_path):
    train(sgd('alone', indices=[0], batch_size=1), tmp_path / 'alone')
    pair = sgd('pair', indices=[0, 1], batch_size=1)
    launch(2, tmp_path, 'train', pair, '--work-dir', tmp_path / 'two', '--cfg-options', 'experiment_name=two')
    found, expected = (load(tmp_path / name / 'epoch_1.pth') for name in ('two', 'alone'))
    for key, value in expected['state_dict'].items():
        torch.testing.assert_close(found['state_dict'][key], value, rtol=0, atol=2e-6)
    assert found['meta']['skipped_items']['count'] == 1  # of rank 1, known to rank 0
    assert "images/2.png' cannot be read" in log(tmp_path / 'two')


def test_all_processes_end_when_one_has_too_many(sgd, tmp_path):
    pair = sgd('pair', indices=[0, 1], batch_size=1, max_skipped=0.4)
    processes = start_function(2, tmp_path, run_tool, 'train', pair, '--work-dir', tmp_path, '--launcher', 'pytorch')
    assert exit_codes(processes, timeout=60) == [1, 1]


def test_too_many_end_the_run_and_are_named(sgd, tmp_path):
    path = sgd('many', indices=[0, 1, 2], batch_size=2, max_skipped=0.3)
    with pytest.raises(
        ValueError,
        match=r"1 of 3 items had to be left out, more than max_skipped=0.3 allows \(image '.*images/2\.png' cannot be",
    ):
        train(path, tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_by_default_the_first_ends_the_run(sgd, tmp_path):
    path = sgd('stops', indices=[0, 1], batch_size=2, max_skipped=0.0)
    with pytest.raises(ValueError, match=r"images/2\.png' cannot be read \(image file is truncated"):
        train(path, tmp_path / 'run')


@pytest.mark.parametrize(('workers', 'iteration'), [(0, 2), pytest.param(2, 3, marks=pytest.mark.slow)])
def test_a_resumed_run_is_the_same_and_goes_on_counting(
    config, broken_root, straight_runs, tmp_path, workers, iteration
):
    straight = straight_runs(workers)
    resume = ['--resume', straight / f'iter_{iteration}.pth']
    train(config, tmp_path / 'run', *options(broken_root, workers), resume=resume)
    found, expected = load(tmp_path / 'run' / 'iter_8.pth'), load(straight / 'iter_8.pth')
    assert_same_run(found, expected)
    counts = [load(straight / f'iter_{number}.pth')['meta']['skipped_items']['count'] for number in range(1, 9)]
    assert sorted(counts[:4]) == counts[:4]
    assert (counts[3], counts[7]) == (1, 1)  # of each epoch of four
    assert found['meta']['skipped_items'] == expected['meta']['skipped_items']
    assert '1 of 4 items were left out of this pass' in log(tmp_path / 'run')


def options(root, workers):
    return [
        'train_dataloader.batch_size=1', f'train_dataloader.num_workers={workers}',
        f'train_dataloader.dataset.data_root={root}', '+train_dataloader.dataset.max_skipped=0.25',
        '+default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
    ]  # fmt: skip


@pytest.fixture(scope='module')
def straight_runs(config, broken_root, tmp_path_factory):
    made = {}

    def straight(workers):
        if workers not in made:
            made[workers] = tmp_path_factory.mktemp('straight') / f'workers_{workers}'
            train(config, made[workers], *options(broken_root, workers))
        return made[workers]

    return straight


def test_a_test_leaves_nothing_out(trained, tmp_path):
    options = ['--cfg-options', '+test_dataloader.dataset.max_skipped=0.5']
    with pytest.raises(ValueError, match=r'has test_mode=True and max_skipped=0\.5, by which figures'):
        run_tool('test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path, *options)


def test_features_are_stored_of_all_items(config, tmp_path):
    path = tmp_path / 'cached.py'
    path.write_text(
        f'_base_ = {str(config)!r}\n'
        "cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model)\n"
        f'train_dataloader = dict(dataset=dict(folder={str(tmp_path / "store")!r}, '
        'dataset=dict(_base_.train_dataloader.dataset, max_skipped=0.5), **cached))\n'
    )
    with pytest.raises(ValueError, match=r'max_skipped=0\.5, but features are stored of every item; set it to 0'):
        run_tool('cache_features', path)
