"""tools/select_heads.py: the ranking against a plain one, and the configs that it writes."""

import json

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from tiny_refcoco import REPOSITORY, run_tool, write_workspace

from flmm.datasets import RefCOCO2PNG
from flmm.evaluation import best_threshold_iou, selection_frequency, spatial_entropy
from flmm.models import FrozenLlavaNextSAM
from flmm.registry import MODELS


@pytest.fixture
def select(config, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    return lambda *arguments: run_tool('select_heads', config, '--work-dir', tmp_path, *arguments)


@pytest.fixture
def without_truth(monkeypatch):
    transform = RefCOCO2PNG.transform
    monkeypatch.setattr(RefCOCO2PNG, 'transform', lambda self, results: transform(self, {**results, 'gt_masks': None}))


def features(config, *, num_images, seed):
    """The samples that the tool takes, and their maps."""
    settings = Config.fromfile(config)
    set_random_seed(seed)
    loader = Runner.build_dataloader(settings.train_dataloader, seed=seed)
    model = MODELS.build(settings.model)
    samples = [sample for batch in loader for sample in batch['data_samples']][:num_images]
    return [(sample, model.encode([sample])[0].attentions) for sample in samples]


def test_heads_are_ranked_and_written_as_configs(select, config, tmp_path, capsys):
    # A tracker has no part in it, and is not loaded.
    options = ('--cfg-options', '+model.tracker.name_or_path=absent')
    select('--num-images', '3', '--top', '2', '5', '--seed', '4', *options)

    ranking = json.loads((tmp_path / 'heads.json').read_text())
    settings = Config.fromfile(config)
    scores = []
    for sample, maps in features(config, num_images=3, seed=4):
        coverage = F.interpolate(sample.masks[None].float(), size=sample.grid_size, mode='area')[0]
        scores.append(best_threshold_iou(maps, coverage))
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


def test_heads_are_ranked_without_truth(select, config, tmp_path, without_truth, capsys):
    select(
        *('--by', 'localization', '--skip-layers', '0', '--num-images', '3', '--top', '1', '2', '--seed', '4'),
        *('--cfg-options', 'train_dataloader.num_workers=0'),
    )
    document = json.loads((tmp_path / 'heads.json').read_text())
    all_maps = [maps for _, maps in features(config, num_images=3, seed=4)]
    mass = torch.cat([maps.sum(dim=(2, 3)) for maps in all_maps])
    entropy = torch.cat([spatial_entropy(maps) for maps in all_maps])
    assert 0 < mass.min() <= mass.max() < 1
    frequency = selection_frequency(mass, entropy)
    assert (document['by'], document['num_phrases']) == ('localization', len(mass))
    for row in document['heads']:
        channel = 4 * row['layer'] + row['head']
        assert row['mass'] == pytest.approx(mass[:, channel].mean().item(), abs=1e-5)
        assert row['entropy'] == pytest.approx(entropy[:, channel].mean().item(), abs=1e-5)
        assert row['frequency'] == pytest.approx(frequency[channel].item(), abs=1e-5)
    order = [(-row['frequency'], row['entropy']) for row in document['heads']]
    assert order == sorted(order)
    assert f'entropy {document["heads"][0]["entropy"]:.3f}' in capsys.readouterr().out


def test_the_mass_of_several_views_is_what_goes_to_the_image_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    config = write_workspace(tmp_path, model_type='llava_next')
    run_tool(
        'select_heads', config, '--work-dir', tmp_path, '--by', 'localization', '--skip-layers', '0',
        '--num-images', '2', '--top', '1', '--cfg-options', 'train_dataloader.num_workers=0',
    )  # fmt: skip
    seen, on_grid = [], FrozenLlavaNextSAM.on_grid
    monkeypatch.setattr(
        FrozenLlavaNextSAM, 'on_grid', lambda self, sample, maps: seen.append(maps) or on_grid(self, sample, maps)
    )
    features(config, num_images=2, seed=0)
    expected = torch.cat([maps.sum(dim=2) for maps in seen]).mean(dim=0)  # [heads], before anything is resampled
    for row in json.loads((tmp_path / 'heads.json').read_text())['heads']:
        assert row['mass'] == pytest.approx(expected[4 * row['layer'] + row['head']].item(), rel=0.05)


def test_training_free_configs_are_tested_without_a_checkpoint(select, config, tmp_path):
    select('--num-images', '2', '--training-free', '--top', '3', '--cfg-options', 'train_dataloader.num_workers=0')
    written = tmp_path / f'{config.stem}_training_free_3.py'
    settings = Config.fromfile(written)
    assert settings.model.heads == Config.fromfile(tmp_path / f'{config.stem}_heads_3.py').model.heads
    assert settings.model.mask_head == {'type': 'AttentionThreshold'}
    assert settings.test_dataloader == Config.fromfile(config).test_dataloader
    demo = Config.fromfile(REPOSITORY / 'configs' / 'shapes' / 'demo_training_free.py').model  # is such a one
    assert demo.mask_head == settings.model.mask_head
    assert {**demo.sam, 'sam': None} == {**settings.model.sam, 'sam': None}
    run_tool('test', written, '--work-dir', tmp_path, '--cfg-options', 'experiment_name=training_free')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= metrics['shapes_val_first_sentence/refined/mIoU'] <= 100


def test_phrases_without_a_target_do_not_count(select, config, tmp_path, monkeypatch):
    arguments = ('--num-images', '3', '--top', '1', '--seed', '4', '--cfg-options', 'train_dataloader.num_workers=0')
    transform = RefCOCO2PNG.transform

    def without_first(self, results):
        sample = transform(self, results)
        sample.masks[0], sample.gt_masks[0] = False, False
        return sample

    maps = [maps[1:] for _, maps in features(config, num_images=3, seed=4)]
    masks = [sample.masks[1:] for sample, _ in features(config, num_images=3, seed=4)]
    grids = [each.shape[-2:] for each in maps]
    coverage = [
        F.interpolate(each[None].float(), size=grid, mode='area')[0] for each, grid in zip(masks, grids, strict=True)
    ]
    expected = torch.cat([best_threshold_iou(*pair) for pair in zip(maps, coverage, strict=True) if len(pair[0])])
    monkeypatch.setattr(RefCOCO2PNG, 'transform', without_first)
    select(*arguments)
    document = json.loads((tmp_path / 'heads.json').read_text())
    assert document['num_phrases'] == len(expected) > 0
    for row in document['heads']:
        assert row['iou'] == pytest.approx(expected.mean(dim=0)[4 * row['layer'] + row['head']].item(), abs=1e-5)

    def without_any(self, results):
        sample = transform(self, results)
        sample.masks[:], sample.gt_masks[:] = False, False
        return sample

    monkeypatch.setattr(RefCOCO2PNG, 'transform', without_any)
    with pytest.raises(ValueError, match='no phrase of the first 3 images has a target'):
        select(*arguments)


def test_heads_of_a_config_that_judges_existence(config, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    judging = tmp_path / 'judging.py'
    judging.write_text(
        f"_base_ = {str(config)!r}\nmodel = dict(existence=dict(type='ExistenceHead'), trained_masks='none.pth')\n"
    )
    run_tool(
        *('select_heads', judging, '--work-dir', tmp_path, '--num-images', '2', '--training-free', '--top', '3'),
        *('--cfg-options', 'train_dataloader.num_workers=0'),
    )
    untrained = Config.fromfile(tmp_path / 'judging_training_free_3.py')
    assert MODELS.build(untrained.model).existence_head is None
    trained = Config.fromfile(tmp_path / 'judging_heads_3.py').model
    assert (trained.existence, trained.heads) == ({'type': 'ExistenceHead'}, untrained.model.heads)
    with pytest.raises(ValueError, match=r"trained_masks is 'none\.pth'"):
        MODELS.build(trained)  # masks of other heads: which to train over these is not for the tool to say


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--top', '8', '9', '--num-images', '2'), r'--top \[9\] is not possible, .* reads 8 heads$'),
        (('--top', '2', '--num-images', '99'), '--num-images is 99, the train loader has 1 to 4'),
        (('--top', '2', '--num-images', '0'), '--num-images is 0, the train loader has 1 to 4'),
        (
            ('--by', 'localization', '--num-images', '2'),
            r'--top \[8, 16, 32\] is not possible, .* reads 0 heads behind the first 2 layers \(--skip',
        ),
        (
            ('--by', 'localization', '--skip-layers', '0', '--top', '8', '--num-images', '2'),
            r'--top \[8\] is not possible, .* localizes with [1-7] heads$',
        ),
        (
            ('--by', 'localization', '--cfg-options', '+model.coarse_attention=copy'),
            "has coarse_attention='copy', which multiplies attention; set it to 'spread'",
        ),
    ],
)
def test_what_cannot_be_had_is_named(select, arguments, message):
    with pytest.raises(ValueError, match=message):
        select(*arguments)


def test_an_image_without_truth_is_named(select, without_truth):
    with pytest.raises(ValueError, match=r"image '.*\.png' has no truth masks to score the heads by"):
        select('--num-images', '1', '--top', '2', '--cfg-options', 'train_dataloader.num_workers=0')


def test_a_config_of_stored_features_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(ValueError, match=r'demo_cached\.py reads stored features; rank the heads with the config of'):
        run_tool('select_heads', 'configs/shapes/demo_cached.py', '--work-dir', tmp_path)
