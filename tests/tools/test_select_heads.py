"""tools/select_heads.py: the ranking against a plain one, and the configs that it writes."""

import json

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from tiny_refcoco import REPOSITORY, run_tool

from flmm.datasets import RefCOCO2PNG
from flmm.evaluation import best_threshold_iou
from flmm.registry import MODELS


@pytest.fixture
def select(config, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    return lambda *arguments: run_tool('select_heads', config, '--work-dir', tmp_path, *arguments)


def test_heads_are_ranked_and_written_as_configs(select, config, tmp_path, capsys):
    select('--num-images', '3', '--top', '2', '5', '--seed', '4')

    ranking = json.loads((tmp_path / 'heads.json').read_text())
    settings = Config.fromfile(config)
    set_random_seed(4)
    loader = Runner.build_dataloader(settings.train_dataloader, seed=4)
    model = MODELS.build(settings.model)
    samples = [sample for batch in loader for sample in batch['data_samples']][:3]
    scores = []
    for sample in samples:
        (features,) = model.encode([sample])
        coverage = F.interpolate(sample.masks[None].float(), size=sample.grid_size, mode='area')[0]
        scores.append(best_threshold_iou(features.attentions, coverage))
    expected = torch.cat(scores).mean(dim=0)
    assert ranking['num_phrases'] == len(torch.cat(scores))
    assert {(row['layer'], row['head']) for row in ranking['heads']} == {(i, j) for i in range(2) for j in range(4)}
    for row in ranking['heads']:
        assert row['iou'] == pytest.approx(expected[4 * row['layer'] + row['head']].item(), abs=1e-5)
    assert [row['iou'] for row in ranking['heads']] == sorted((row['iou'] for row in ranking['heads']), reverse=True)
    best = ranking['heads'][0]
    assert f'layer {best["layer"]:2} head {best["head"]:2}: IoU {best["iou"]:.3f}' in capsys.readouterr().out
    for top in (2, 5):
        written = Config.fromfile(tmp_path / f'{config.stem}_heads_{top}.py')
        chosen = sorted((row['layer'], row['head']) for row in ranking['heads'][:top])
        assert written.model.heads == chosen
        assert written.train_dataloader == settings.train_dataloader
        built = MODELS.build(written.model)
        assert [(layer, head) for layer, heads in built.heads.items() for head in heads] == chosen


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--top', '8', '9', '--num-images', '2'), r'--top \[9\] is not possible, .* reads 1 to 8 heads'),
        (('--top', '2', '--num-images', '99'), '--num-images is 99, the train loader has 4'),
    ],
)
def test_what_cannot_be_had_is_named(select, arguments, message):
    with pytest.raises(ValueError, match=message):
        select(*arguments)


def test_an_image_without_truth_is_named(select, monkeypatch):
    def without_truth(self, results):
        return transform(self, {**results, 'gt_masks': None})

    transform = RefCOCO2PNG.transform
    monkeypatch.setattr(RefCOCO2PNG, 'transform', without_truth)
    with pytest.raises(ValueError, match=r"image '.*\.png' has no truth masks to score the heads by"):
        select('--num-images', '1', '--top', '2', '--cfg-options', 'train_dataloader.num_workers=0')


def test_a_config_of_stored_features_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(ValueError, match=r'demo_cached\.py reads stored features; rank the heads with the config of'):
        run_tool('select_heads', 'configs/shapes/demo_cached.py', '--work-dir', tmp_path)
