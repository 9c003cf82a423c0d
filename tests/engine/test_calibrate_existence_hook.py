"""The threshold of existence: in closed form, by brute force, and in runs."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank
from processes import launch_function
from tiny_grounder import tiny_grounder
from tiny_samples import tiny_sample

from flmm.datasets import collate_grounding
from flmm.engine import CalibrateExistenceHook, GroundingRunner
from flmm.engine.calibrate_existence_hook import best_threshold
from flmm.engine.runner import unwrapped_model
from flmm.models import GroundingModel

pytestmark = pytest.mark.usefixtures('on_one_thread')


def tensors(scores, truth):
    return torch.tensor(scores, dtype=torch.float32), torch.tensor(truth, dtype=torch.bool)


@pytest.mark.parametrize(
    ('scores', 'truth', 'threshold', 'n_acc', 't_acc'),
    [
        ([0.25, 0.75], [0, 1], 0.5, 1.0, 1.0),
        ([0.75, 0.25], [1, 0], 0.5, 1.0, 1.0),
        ([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], 0.15, 0.5, 1.0),  # as good as 0.35: the first; 0.25 has the smaller mean
        ([0.2, 0.4, 0.4, 0.8], [0, 0, 1, 1], 0.3, 0.5, 1.0),  # equal scores stay together; 0.6 is as good
        ([0.9, 0.1], [0, 1], 0.1, 0.0, 1.0),  # worse than chance: all are there
        ([0.5, 0.5], [0, 1], 0.5, 0.0, 1.0),
        ([0.2, 0.6, 0.6, 0.6, 0.9], [0, 0, 0, 0, 1], 0.75, 1.0, 1.0),
        # The mean is larger at 0.3, where N-acc is 0.25 and T-acc 1.
        ([0.1, 0.6, 0.7, 0.8, 0.5, 0.55, 0.65, 0.75], [0, 0, 0, 0, 1, 1, 1, 1], 0.625, 0.5, 0.5),
    ],
)
def test_the_threshold_in_closed_form(scores, truth, threshold, n_acc, t_acc):
    found = best_threshold(*tensors(scores, truth), whose='val')
    assert found == pytest.approx((threshold, n_acc, t_acc), abs=1e-7)


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(30):
        scores, truth = tensors(rng.random(40).round(2), rng.random(40) < 0.4)
        threshold, n_acc, t_acc = best_threshold(scores, truth, whose='val')

        def accuracy(value, scores=scores, truth=truth):
            verdict = scores >= value
            return float((~verdict[~truth]).double().mean()), float(verdict[truth].double().mean())

        assert accuracy(threshold) == pytest.approx((n_acc, t_acc), abs=1e-12)
        best = max((min(accuracy(value)), sum(accuracy(value))) for value in np.linspace(0, 1.001, 2003))
        assert (min(n_acc, t_acc), n_acc + t_acc) == pytest.approx(best, abs=1e-12)


def test_neighbours_without_a_number_between_them_stay_apart():
    low = torch.tensor(0.7)
    high = torch.nextafter(low, torch.tensor(1.0))
    threshold, *accuracies = best_threshold(torch.stack([low, high]), torch.tensor([False, True]), whose='val')
    assert accuracies == [1.0, 1.0]
    assert low < torch.tensor(threshold) <= high


@pytest.mark.parametrize(('truth', 'which'), [([1, 1], 'every'), ([0, 0], 'no')])
def test_data_of_one_sort_is_refused(truth, which):
    with pytest.raises(ValueError, match=f'^{which} phrase of val has a target.*both sorts.*leave'):
        best_threshold(*tensors([0.1, 0.2], truth), whose='val')


def test_a_model_without_the_head_or_a_run_without_validation_is_refused():
    hook = CalibrateExistenceHook()
    model = SimpleNamespace(existence_head=None)
    with pytest.raises(ValueError, match='judges no existence; add existence=dict'):
        hook.before_train(SimpleNamespace(model=model, val_loop=object()))
    with pytest.raises(ValueError, match='val_dataloader, which the config lacks'):
        hook.before_train(SimpleNamespace(model=SimpleNamespace(existence_head=object()), val_loop=None))


@pytest.mark.parametrize(('absent', 'which'), [((), 'every'), ((0, 1), 'no')])
def test_validation_data_of_one_sort_are_refused_before_training(tmp_path, absent, which):
    validation = pictures()
    for sample in validation:
        sample.masks[:], sample.gt_masks[:] = True, True
        sample.masks[list(absent)], sample.gt_masks[list(absent)] = False, False
    with pytest.raises(ValueError, match=f'^{which} phrase of list has a target, so no threshold'):
        run(tmp_path / 'run', max_epochs=1, validation=validation)
    assert not list((tmp_path / 'run').glob('*.pth'))


# Runs over five tiny pictures, the second phrase of each absent.


def pictures():
    samples = [tiny_sample(['a', 'the cat'], size=(56, 56), seed=seed) for seed in range(5)]
    for number, sample in enumerate(samples):
        sample.masks[1], sample.gt_masks[1], sample.sample_idx = False, False, number
    return samples


def run(work_dir, *, hooks=(), settings=None, validation=None, **train_cfg):
    """Train on the pictures, validate on them, and return the runner."""
    loader = {'dataset': pictures(), 'batch_size': 1, 'num_workers': 0, 'collate_fn': collate_grounding}
    by_epoch = train_cfg.get('by_epoch', True)
    runner = GroundingRunner(
        model=tiny_grounder(existence={'type': 'flmm.ExistenceHead', 'width': 8}),
        work_dir=str(work_dir),
        train_dataloader={**loader, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}},
        val_dataloader={
            **loader,
            'dataset': validation or pictures(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        },
        train_cfg={'by_epoch': by_epoch, **train_cfg},
        val_cfg={},
        val_evaluator={'type': 'GroundingMetric'},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 1e-3}},
        custom_hooks=[{'type': 'CalibrateExistenceHook'}, *hooks],
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': by_epoch, 'interval': 1}},
        default_scope='flmm',
        randomness={'seed': 0},
        experiment_name=work_dir.name,
        **(settings or {}),
    )
    runner.train()
    return runner


def expected_threshold(path):
    """What is best for the weights of a checkpoint, by a model of its own."""
    state = torch.load(path, weights_only=False)['state_dict']
    model = tiny_grounder(existence={'type': 'flmm.ExistenceHead', 'width': 8}, seed=0).eval()
    model.load_state_dict(state)
    found = model(pictures(), mode='predict')
    scores, truth = torch.cat([s.existence for s in found]), torch.cat([s.has_target for s in found])
    return state['existence_head.threshold'], best_threshold(scores, truth, whose='val')[0]


@pytest.mark.parametrize('hooks', [(), [{'type': 'EMAHook', 'momentum': 0.3}]], ids=['plain', 'averaged'])
def test_a_checkpoint_has_the_best_threshold_for_its_own_weights(tmp_path, hooks):
    runner = run(tmp_path / 'run', hooks=hooks, max_epochs=2)
    thresholds = []
    for epoch in (1, 2):
        found, expected = expected_threshold(tmp_path / 'run' / f'epoch_{epoch}.pth')
        assert float(found) == pytest.approx(expected, abs=1e-6)
        thresholds.append(float(found))
    assert len({0.5, *thresholds}) == 3
    assert float(runner.model.existence_head.threshold) == thresholds[1]  # what validation used


def test_a_run_of_iterations_calibrates_before_each_validation_and_at_the_end(tmp_path):
    run(tmp_path / 'run', by_epoch=False, max_iters=5, val_interval=2)
    for iteration in (2, 4, 5):
        found, expected = expected_threshold(tmp_path / 'run' / f'iter_{iteration}.pth')
        assert float(found) == pytest.approx(expected, abs=1e-6), iteration
    between, _ = expected_threshold(tmp_path / 'run' / 'iter_3.pth')
    assert float(between) == float(expected_threshold(tmp_path / 'run' / 'iter_2.pth')[0])


def run_as_one_of_several(work_dir):
    torch.distributed.init_process_group('gloo')
    wrapper = {'type': 'MMDistributedDataParallel', 'device_ids': None, 'broadcast_buffers': False}
    settings = {'launcher': 'pytorch', 'cfg': {'model_wrapper_cfg': wrapper}}
    runner = run(work_dir, settings=settings, max_epochs=1)
    threshold = float(unwrapped_model(runner).existence_head.threshold)
    (work_dir / f'threshold_{get_rank()}').write_text(repr(threshold))


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')
def test_two_processes_agree_on_what_one_would_choose(tmp_path):
    """Five pictures: the sampler repeats one, which must not count twice."""
    launch_function(2, tmp_path, run_as_one_of_several, tmp_path / 'run')
    found, expected = expected_threshold(tmp_path / 'run' / 'epoch_1.pth')
    own = [float((tmp_path / 'run' / f'threshold_{rank}').read_text()) for rank in (0, 1)]
    assert own == [float(found)] * 2
    assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(found) != 0.5
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'on 10 phrases of the validation data' in log.read_text()


def test_training_goes_on_as_without_the_hook(tmp_path, monkeypatch):
    run(tmp_path / 'with', max_epochs=2)
    for name in ('before_train', 'after_train_epoch'):
        monkeypatch.setattr(CalibrateExistenceHook, name, lambda self, runner: None)
    run(tmp_path / 'without', max_epochs=2)
    left, right = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)['state_dict'] for name in ('with', 'without')
    )
    assert [key for key in left if not torch.equal(left[key], right[key])] == ['existence_head.threshold']


def test_a_stop_is_heard_while_it_runs(tmp_path, monkeypatch):
    """It takes as long as a validation, and no checkpoint of the epoch is there yet."""
    judge, calls = GroundingModel.judge, []

    def judge_and_stop(model, samples):
        calls.append(samples)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return judge(model, samples)

    monkeypatch.setattr(GroundingModel, 'judge', judge_and_stop)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / 'run', max_epochs=2)
    assert stopped.value.code == 143
    assert len(calls) == 2
    meta = torch.load(tmp_path / 'run' / 'interrupted.pth', weights_only=False)['meta']
    assert (meta['epoch'], meta['iter']) == (0, 5)  # the resumed run begins with the end of the epoch
