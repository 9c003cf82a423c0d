"""An existence head that is trained alone, over masks of a checkpoint: the masks stay bit for bit."""

import functools
import re

import pytest
import torch
from mmengine.registry import init_default_scope
from processes import launch_function
from threads import one_thread
from tiny_grounder import LOSSES, tiny_grounder
from tiny_models import tiny_lmm, tiny_sam
from tiny_samples import tiny_batch, tiny_sample

from flmm.datasets import collate_grounding
from flmm.engine import GroundingRunner
from flmm.models import FrozenQwenSAM, LMMWithoutWeights, SAMWrapper
from flmm.models.checkpoints import load_trained
from flmm.models.finite import NonFiniteError

EXISTENCE = {'type': 'flmm.ExistenceHead', 'width': 8}


@pytest.fixture(scope='module', autouse=True)
def _one_thread():
    init_default_scope('flmm')
    with one_thread():
        yield


def save(path, model):
    torch.save({'state_dict': model.state_dict(), 'meta': {'frozen_parts': model.frozen_parts()}}, path)
    return str(path)


@pytest.fixture(scope='module')
def masks(tmp_path_factory):
    """A checkpoint of masks; its weights differ from those of a new model."""
    return save(tmp_path_factory.mktemp('masks') / 'masks.pth', tiny_grounder(seed=7))


def pictures(model=None):
    """Five pictures, the second phrase of each absent; with features, of a model, and without image otherwise."""
    samples = [tiny_sample(['a', 'the cat'], size=(56, 56), seed=seed) for seed in range(5)]
    for number, sample in enumerate(samples):
        sample.masks[1], sample.gt_masks[1], sample.sample_idx = False, False, number
        if model is not None:
            (sample.features,) = model.encode([sample])
            sample.features.made_by = model.frozen_parts()
            sample.image = sample.lmm_inputs = None
    return samples


def without_weights(**settings):
    """The same model but for its LMM, which has no weights."""
    torch.manual_seed(0)
    lmm = LMMWithoutWeights.__new__(LMMWithoutWeights)
    torch.nn.Module.__init__(lmm)
    lmm.config = tiny_lmm('qwen2_5_vl').config
    return FrozenQwenSAM(
        lmm=lmm,
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=tiny_sam()),
        **LOSSES,
        **settings,
    )


def runner_of(work_dir, masks, *, samples=None, hooks=(), build=tiny_grounder, by_epoch=True, settings=None):
    loader = {'dataset': samples or pictures(), 'batch_size': 2, 'num_workers': 0, 'collate_fn': collate_grounding}
    loader['sampler'] = {'type': 'DefaultSampler', 'shuffle': False}
    length = {'max_epochs': 2} if by_epoch else {'max_iters': 6, 'val_interval': 3}
    return GroundingRunner(
        model=build(existence=EXISTENCE, trained_masks=masks),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=dict(loader),
        train_cfg={'by_epoch': by_epoch, **length},
        val_cfg={},
        val_evaluator={'type': 'GroundingMetric'},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 1e-2, 'weight_decay': 0.1}, 'clip_grad': {'max_norm': 1.0}},
        param_scheduler={'type': 'PolyLR', 'power': 1.0, 'by_epoch': False, 'end': 8},
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'by_epoch': by_epoch, 'interval': 1 if by_epoch else 3},
            'calibrate_existence': {'type': 'CalibrateExistenceHook'},
            'finite_check': {'type': 'FiniteCheckHook'},
            'frozen_parts': {'type': 'FrozenPartsHook'},
            'plain_checkpoint': {'type': 'PlainCheckpointHook'},
            'random_state': {'type': 'RandomStateHook'},
        },
        custom_hooks=list(hooks),
        default_scope='flmm',
        randomness={'seed': 0},
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
        **(settings or {}),
    )


def split(path):
    """The weights of a checkpoint: of masks, and of the existence head."""
    weights = torch.load(path, weights_only=True)['state_dict']
    own = {key for key in weights if key.startswith('existence_head.')}
    return {key: weights[key] for key in weights.keys() - own}, {key: weights[key] for key in own}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize('hooks', [(), [{'type': 'EMAHook', 'momentum': 0.3}]], ids=['plain', 'averaged'])
@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
def test_a_run_moves_the_head_alone(tmp_path, masks, by_epoch, hooks):
    runner = runner_of(tmp_path / 'run', masks, by_epoch=by_epoch, hooks=hooks)
    start = {f'existence_head.{name}': value.clone() for name, value in runner.model.existence_head.named_parameters()}
    runner.train()

    checkpoint = tmp_path / 'run' / ('epoch_2.pth' if by_epoch else 'iter_6.pth')
    stored, head = split(checkpoint)
    assert same(stored, split(masks)[0])
    assert not any(torch.equal(head[name], value) for name, value in start.items())
    trained = sum(1 for parameter in runner.model.parameters() if parameter.requires_grad)
    assert trained == len(start)
    assert len(torch.load(checkpoint, weights_only=True)['optimizer']['state']) == trained

    # The checkpoint is one of the model with all its parts, and its masks are those that it began with.
    judging, masking = tiny_grounder(seed=1, existence=EXISTENCE).eval(), tiny_grounder(seed=2).eval()
    load_trained(judging, checkpoint)
    load_trained(masking, masks)
    for found, expected in zip(
        judging(tiny_batch(), mode='predict'), masking(tiny_batch(), mode='predict'), strict=True
    ):
        assert torch.equal(found.pred_masks, expected.pred_masks)
        assert torch.equal(found.sam_pred_masks, expected.sam_pred_masks)
    (judged,) = judging(pictures()[:1], mode='predict')
    (own,) = judging.judge(pictures()[:1])
    assert torch.equal(judged.existence, own)
    assert judged.exists.tolist() == (own >= head['existence_head.threshold']).tolist()


def test_stored_features_and_an_lmm_without_weights_give_the_same(tmp_path, masks):
    runner_of(tmp_path / 'read', masks).train()
    stored = pictures(tiny_grounder())
    runner_of(tmp_path / 'stored', masks, samples=stored, build=without_weights).train()
    left, right = (torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True) for name in ('read', 'stored'))
    assert left['meta']['frozen_parts'] == right['meta']['frozen_parts']
    assert left['state_dict'].keys() == right['state_dict'].keys()
    for key, value in left['state_dict'].items():
        torch.testing.assert_close(right['state_dict'][key], value, rtol=0, atol=1e-5, msg=key)


@pytest.mark.parametrize('hooks', [(), [{'type': 'EMAHook', 'momentum': 0.3}]], ids=['plain', 'averaged'])
def test_a_resumed_run_goes_on_exactly(tmp_path, masks, hooks):
    whole = runner_of(tmp_path / 'whole', masks, hooks=hooks)
    whole.train()
    resumed = runner_of(
        *(tmp_path / 'resumed', masks), hooks=hooks,
        settings={'resume': True, 'load_from': str(tmp_path / 'whole' / 'epoch_1.pth')},
    )  # fmt: skip
    resumed.train()
    left, right = (split(tmp_path / name / 'epoch_2.pth') for name in ('whole', 'resumed'))
    assert same(left[0], right[0])
    assert same(left[1], right[1])


def train_as_one_of_several(work_dir, masks):
    torch.distributed.init_process_group('gloo')
    wrapper = {'type': 'MMDistributedDataParallel', 'device_ids': None, 'broadcast_buffers': False}
    settings = {'launcher': 'pytorch', 'cfg': {'model_wrapper_cfg': wrapper}}
    runner_of(work_dir, masks, settings=settings).train()


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')
def test_two_processes_leave_the_masks_alone(tmp_path, masks):
    launch_function(2, tmp_path, train_as_one_of_several, tmp_path / 'run', masks)
    stored, head = split(tmp_path / 'run' / 'epoch_2.pth')
    assert same(stored, split(masks)[0])
    assert head['existence_head.threshold'] != 0.5


def test_no_mask_is_made_in_training_and_the_loss_is_that_of_the_whole_model(masks, monkeypatch):
    model = tiny_grounder(seed=3, existence=EXISTENCE, trained_masks=masks)
    whole = tiny_grounder(existence=EXISTENCE)
    whole.load_state_dict(model.state_dict())
    expected = whole(pictures()[:2], mode='loss')['loss_existence']
    for part in (model.mask_head, model.sam.model.image_encoder, model.sam.model.mask_decoder):
        monkeypatch.setattr(part, 'forward', None)
    losses = model(pictures()[:2], mode='loss')
    assert losses.keys() == {'loss_existence'}
    assert torch.equal(losses['loss_existence'], expected)


def test_what_a_model_judges_without_a_head():
    with pytest.raises(ValueError, match=r"judges no existence; build it with existence=dict\(type='ExistenceHead'\)"):
        tiny_grounder().judge(pictures()[:1])


def test_what_is_no_checkpoint_of_masks_is_refused(tmp_path, masks):
    build = functools.partial(tiny_grounder, existence=EXISTENCE)
    with pytest.raises(ValueError, match=r"trained_masks is '.*masks\.pth', but there is no existence head to train"):
        tiny_grounder(trained_masks=masks)
    absent = str(tmp_path / 'absent.pth')
    message = (
        f'trained_masks is {absent!r}, expected a checkpoint of this model without existence: checkpoint {absent!r}'
    )
    with pytest.raises(ValueError, match=re.escape(message) + ' does not exist'):
        build(trained_masks=absent)
    judging = save(tmp_path / 'judging.pth', build())
    with pytest.raises(ValueError, match=rf'{re.escape(judging)}.* without existence: .* unexpected: existence_head\.'):
        build(trained_masks=judging)
    lmm = tiny_grounder()
    lmm.lmm.load_state_dict(tiny_lmm(seed=5).state_dict())
    other = save(tmp_path / 'other.pth', lmm)
    with pytest.raises(ValueError, match=rf'{re.escape(other)}.* the checkpoint was trained over another LMM'):
        build(trained_masks=other)
    with pytest.raises(ValueError, match='trained over another choice of attention heads'):
        build(trained_masks=masks, heads=[(0, 0), *((1, head) for head in range(4))])


def test_masks_over_another_lmm_than_the_stored_features_are_refused(tmp_path):
    """The model's own LMM has no weights to compare either with: both fit it."""
    other = tiny_grounder()
    other.lmm.load_state_dict(tiny_lmm(seed=5).state_dict())
    model = without_weights(existence=EXISTENCE, trained_masks=save(tmp_path / 'other.pth', other))
    assert model.frozen_parts() == other.frozen_parts()
    with pytest.raises(ValueError, match=r"features of image 'random_0\.jpg' were made by another LMM"):
        model(pictures(tiny_grounder()), mode='loss')
    assert model(pictures(other), mode='loss')['loss_existence'].isfinite()


def test_numbers_that_are_not_finite_stop_the_run_and_are_traced(tmp_path, masks):
    samples = pictures(tiny_grounder())
    samples[3].features.attentions[0, 1, 0, 0] = torch.nan
    runner = runner_of(tmp_path / 'run', masks, samples=samples, build=without_weights)
    with pytest.raises(NonFiniteError, match=r"stage: image 'random_3\.jpg': the LMM's attention gave 1 of"):
        runner.train()
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert not list((tmp_path / 'run').glob('*.pth'))
