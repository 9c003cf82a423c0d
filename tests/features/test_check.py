from pathlib import Path

import pytest
from mmengine.config import Config

from flmm.features import CachedFeatures, check_stored_features


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
