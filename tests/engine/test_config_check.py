from pathlib import Path

import pytest
from mmengine.config import Config

from flmm.config import check_config_keys
from flmm.datasets import CachedFeatures
from flmm.engine import check_stored_features

CONFIGS = sorted((Path(__file__).parents[2] / 'configs').glob('[!_]*/*.py'))


@pytest.mark.parametrize(
    ('misspelt', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('val_evaluater', 'val_evaluator'),
        ('load_form', 'load_from'),
        ('find_unused_parameter', 'find_unused_parameters'),
        ('model_wraper_cfg', 'model_wrapper_cfg'),
        ('activation_checkpoint', 'activation_checkpointing'),
    ],
)
def test_near_misses_are_refused(misspelt, meant):
    message = rf"unknown config key '{misspelt}' \(did you mean '{meant}'\?\); rename it, as it would have no effect"
    with pytest.raises(ValueError, match=message):
        check_config_keys(['model', misspelt])


def test_all_near_misses_are_named():
    with pytest.raises(ValueError, match=r"'val_cgf' \(.*'val_cfg'\?\), 'test_cgf' \(.*'test_cfg'\?\); rename"):
        check_config_keys({'val_cgf': {}, 'test_cgf': {}})


def test_keys_of_the_runner_and_variables_pass():
    runner = ['model', 'work_dir', 'train_cfg', 'auto_scale_lr', 'sync_bn', 'compile', 'efficient_conv_bn_eval']
    variables = ['lmm', 'pipeline', 'image_processor', 'refcoco', 'train_pipeline']
    assert check_config_keys([*runner, *variables]) is None  # and raises nothing


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_published_configs_pass(path):
    assert check_config_keys(Config.fromfile(path)) is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'merge': 'max'}, r"train_dataloader reads features of another model than .*: merge \(None, not 'max'\)"),
        ({'lmm': {'name_or_path': 'other'}}, r"lmm\.name_or_path \('assets/demo_lmm', not 'other'\)"),
        ({'sam': {'sam': {'checkpoint': 'other.pth'}}}, r"sam\.checkpoint \('assets/demo_sam.*', not 'other\.pth'\)"),
    ],
)
def test_stored_features_of_another_model_are_refused(change, message):
    config = Config.fromfile(Path(__file__).parents[2] / 'configs' / 'shapes' / 'demo_cached.py')
    check_stored_features(config)
    config.merge_from_dict({'model': {'mask_head': {'base_channels': 8}}})  # trained: features don't depend on it
    check_stored_features(config)
    config.merge_from_dict({'model': change})
    with pytest.raises(ValueError, match=message):
        check_stored_features(config)


def test_stored_features_are_found_by_any_name_and_within_wrappers():
    config = Config.fromfile(Path(__file__).parents[2] / 'configs' / 'shapes' / 'demo_cached.py')
    config.merge_from_dict({'model': {'merge': 'max'}, 'val_dataloader': None})
    cached = config.train_dataloader.dataset
    for dataset in (
        {**cached, 'type': 'flmm.CachedFeatures'},
        {**cached, 'type': CachedFeatures},
        {'type': 'ConcatDataset', 'datasets': [cached, cached]},
        {'type': 'RepeatDataset', 'times': 2, 'dataset': {**cached, 'type': 'flmm.CachedFeatures'}},
    ):
        config.train_dataloader.dataset = dataset
        with pytest.raises(ValueError, match=r"merge \(None, not 'max'\)"):
            check_stored_features(config)


def test_features_of_a_trained_lmm_are_not_those_of_an_untrained_one():
    configs = Path(__file__).parents[2] / 'configs' / 'shapes'
    config = Config.fromfile(configs / 'demo_cached.py')
    config.model = Config.fromfile(configs / 'demo_untrained_lmm.py').model
    with pytest.raises(ValueError, match=r"lmm\.type \('pretrained_lmm', not 'random_lmm'\)"):
        check_stored_features(config)
