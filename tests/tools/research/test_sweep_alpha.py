"""The sweep over alpha: controls against plain references, training against tools/train.py, and a whole sweep."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from alpha_sweep.conditions import all_conditions
from alpha_sweep.controls import (
    borders,
    budget_layout,
    downsample,
    drop,
    even,
    oracle,
    patch_grid,
    prune,
    smaller_grid,
)
from alpha_sweep.objects import SceneObjects
from alpha_sweep.report import best_oracle, draw, format_markdown, format_text
from alpha_sweep.samples import known_samples
from alpha_sweep.scenes import write_scenes
from alpha_sweep.training import Task
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_grounder import tiny_grounder
from tiny_layouts import random_layout
from tiny_models import tiny_processor
from tiny_refcoco import REPOSITORY, run_tool
from tiny_samples import pruned, tiny_batch, tiny_sample

from flmm.datasets import QwenImageProcessorWrapper
from flmm.shapes import DIFFICULTY, generate_sample

SIZE = (300, 200)
"""Of an image whose grid of 11x7 units is no multiple of the largest token."""


def wrapper(**settings):
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(), **settings)


def assert_same_sample(left, right):
    for name in ('input_ids', 'mask_ids', 'masks'):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert torch.equal(left.layout.tokens, right.layout.tokens)
    assert torch.equal(left.views[0].columns, right.views[0].columns)
    assert (left.meta_data, left.grid_size) == (right.meta_data, right.grid_size)
    assert (left.prompt_length, left.independent) == (right.prompt_length, right.independent)
    torch.testing.assert_close(left.lmm_inputs, right.lmm_inputs, rtol=0, atol=1e-5)


# Controls


@pytest.mark.parametrize(
    'settings',
    [
        {'patch_selection_method': 'budget', 'alpha': 0.4},
        {'patch_selection_method': 'v2', 'alpha': 1.05, 'method': 'laplacian', 'blur': 3},
    ],
)
def test_pruned_sample_is_that_of_the_image_processor(settings):
    dense = tiny_sample(['red', 'a b'], size=SIZE)
    processed = wrapper(**settings).preprocess(dense.image, prompt='What is it?')
    layout = replace(dense, **_official(dense, processed)).layout

    found = prune(dense, layout)

    assert set(layout.tokens[:, 2].tolist()) == {1, 2, 4}
    assert_same_sample(found, replace(dense, **_official(dense, processed)))


def _official(dense, processed):
    """What the wrapper makes of the sample's image, and behind the prompt the tokens of the phrases."""
    prompt = processed.input_ids
    is_phrases = len(dense.input_ids) - len(wrapper().preprocess(dense.image, prompt='What is it?').input_ids)
    return {
        'input_ids': torch.cat([prompt, dense.input_ids[-is_phrases:]]),
        'mask_ids': torch.cat([torch.full_like(prompt, -1), dense.mask_ids[-is_phrases:]]),
        'lmm_inputs': processed.lmm_inputs,
        'views': processed.views,
        'prompt_length': len(prompt),
    }


def test_pruned_sample_is_that_of_a_plain_loop():
    for seed, dense in enumerate(tiny_batch()):
        layout = random_layout(dense.grid_size, seed=seed)
        assert_same_sample(prune(dense, layout), pruned(dense, layout))


def test_nothing_dropped_is_dense():
    model, dense = tiny_grounder(), tiny_sample(['red', 'a b'], size=SIZE)
    expected, found = model.encode([dense, drop(dense, 1.0, seed=0)])
    torch.testing.assert_close(found.attentions, expected.attentions)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states)


def test_dropped_tokens_get_no_attention_and_the_others_keep_their_place():
    dense = tiny_sample(['red', 'a b'], size=SIZE)
    half, few = (drop(dense, alpha, seed='seed') for alpha in (0.5, 0.2))
    units = [set(map(tuple, sample.layout.tokens.tolist())) for sample in (few, half, dense)]
    assert units[0] < units[1] < units[2]
    assert [len(found) for found in units] == [len(budget_layout(torch.zeros(22, 14), a)) for a in (0.2, 0.5, 1.0)]
    assert torch.equal(drop(dense, 0.2, seed='seed').layout.tokens, few.layout.tokens)
    assert not torch.equal(drop(dense, 0.2, seed='other').layout.tokens, few.layout.tokens)

    (features,) = tiny_grounder().encode([few])

    attended = features.attentions.sum(dim=(0, 1)) > 0
    assert set(map(tuple, attended.nonzero().tolist())) == {(top, left) for top, left, _ in units[0]}
    rows = dict(zip(_units(dense), dense.lmm_inputs['pixel_values'].unflatten(0, (-1, 4)), strict=True))
    for unit, found in zip(_units(few), few.lmm_inputs['pixel_values'].unflatten(0, (-1, 4)), strict=True):
        assert torch.equal(found, rows[unit])


def _units(sample):
    return list(map(tuple, sample.layout.tokens.tolist()))


def test_even_tokens_are_of_one_size_but_at_the_borders():
    dense = tiny_sample(['red', 'a b'], size=SIZE)
    found = even(dense)
    expected = [[top, left, 2] for top in range(0, 10, 2) for left in range(0, 6, 2)]
    expected += [[top, 6, 1] for top in range(11)] + [[10, left, 1] for left in range(6)]
    assert found.layout.tokens.tolist() == sorted(expected)
    assert_same_sample(found, prune(dense, found.layout))


def test_down_sampled_image_has_the_tokens_and_masks_keep_their_frame():
    dense = tiny_sample(['red', 'a b'], size=SIZE)
    found = downsample(dense, 0.5, image_processor=wrapper(min_pixels=28 * 28))

    assert found.grid_size == (7, 5)  # at most 38 units: one row more would take a column
    assert found.meta_data['original_shape'] == dense.meta_data['original_shape']
    assert (found.meta_data['padded_shape']['height'], found.meta_data['padded_shape']['width']) == (196, 140)
    assert torch.equal(found.gt_masks, dense.gt_masks)
    # the same content: means over the image and over the places of masks hardly change
    means = [sample.lmm_inputs['pixel_values'].reshape(-1, 3, 392).mean(dim=(0, 2)) for sample in (found, dense)]
    torch.testing.assert_close(*means, rtol=0, atol=0.05)
    fractions = [sample.masks.float().mean(dim=(1, 2)) for sample in (found, dense)]
    torch.testing.assert_close(*fractions, rtol=0.05, atol=0)


def test_smaller_grid():
    for h, w, num_tokens in ((8, 8, 31), (11, 7, 22), (3, 16, 10), (16, 3, 5), (2, 2, 1), (12, 12, 144)):
        candidates = [(r, c) for r in range(1, h + 1) for c in range(1, w + 1) if r * c <= num_tokens]
        shrunk = max(min(r / h, c / w) for r, c in candidates)
        largest = max(r * c for r, c in candidates if min(r / h, c / w) == shrunk)
        found = smaller_grid((h, w), num_tokens)
        assert found in candidates
        assert min(found[0] / h, found[1] / w) == shrunk
        assert math.prod(found) == largest


def test_borders():
    masks = torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(0)) < 0.1
    masks[1] = False
    masks[1, 2:6, 3:7] = True
    expected = torch.zeros(9, 8, dtype=torch.bool)
    for row in range(9):
        for column in range(8):
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= r < 9 and 0 <= c < 8 and bool((masks[:, r, c] != masks[:, row, column]).any()):
                    expected[row, column] = True
    assert torch.equal(borders(masks), expected)
    assert not borders(masks[:0]).any()


@pytest.mark.parametrize(('kind', 'fine'), [('oracle_area', True), ('oracle_edge', False)])
def test_oracle_reads_objects_finely(kind, fine):
    dense = tiny_sample(['red'], size=(448, 448))
    objects = torch.zeros(1, 448, 448, dtype=torch.bool)
    objects[:, 116:332, 4:220] = True  # covers units 4..11, 0..7 for the most part; its border lies in the outer ones

    found = oracle(dense, 0.35, objects=objects, kind=kind)

    sizes = found.layout.to_dense(found.layout.tokens[:, 2].float(), mode='copy')
    on_border = torch.zeros(16, 16, dtype=torch.bool)
    on_border[4:12, :8] = True
    inner = torch.zeros(16, 16, dtype=torch.bool)
    inner[6:10, 2:6] = True
    assert (sizes[on_border & ~inner] == 1).float().mean() > 0.8
    assert bool((sizes[inner] == 1).all()) == fine
    assert len(found.layout) == len(budget_layout(torch.zeros(patch_grid(dense)), 0.35))
    assert_same_sample(found, pruned(dense, found.layout))


def test_oracle_sees_every_object_before_any_in_full():
    dense = tiny_sample(['red'], size=(448, 448))
    objects = torch.zeros(2, 448, 448, dtype=torch.bool)
    objects[0, 60:100, 60:100] = True  # units 2 and 3 of both axes
    objects[1, 340:390, 230:250] = True  # units 12 and 13, and 8

    # 16 tokens of 4x4 units; 22 allow two splits, 28 four
    for num_tokens, fine in ((22, False), (28, True)):
        found = oracle(dense, 4 * num_tokens / 1024, objects=objects, kind='oracle_touch')
        places = {size: set() for size in (1, 2, 4)}
        for top, left, size in found.layout.tokens.tolist():
            places[size].add((top, left))
        assert len(found.layout.tokens) == num_tokens
        assert len(places[4]) == 14
        assert places[4].isdisjoint({(0, 0), (12, 8)})
        expected = {(top + r, left + c) for top, left in ((2, 2), (12, 8)) for r in (0, 1) for c in (0, 1)}
        assert places[1] == (expected if fine else set())


# Scenes and samples


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    for name in ('clean', 'noisy'):
        write_scenes(root / f'shapes_{name}', scenes=name, num_images={'train': 4, 'val': 2}, seed=3)
    return root


def test_scenes_differ_in_noise_alone(scenes):
    clean, noisy = (scenes / f'shapes_{name}' for name in ('clean', 'noisy'))
    for name in ('refcoco/instances.json', 'refcoco/refs(unc).p'):
        assert (clean / name).read_bytes() == (noisy / name).read_bytes()
    names = sorted(path.name for path in (clean / 'images').iterdir())
    assert len(names) == 6
    assert (clean / 'images' / names[0]).read_bytes() != (noisy / 'images' / names[0]).read_bytes()


def test_scenes_are_drawn_once(scenes):
    image = next((scenes / 'shapes_clean' / 'images').iterdir())
    drawn = image.stat().st_mtime_ns
    write_scenes(scenes / 'shapes_clean', scenes='clean', num_images={'train': 4, 'val': 2}, seed=3)
    assert image.stat().st_mtime_ns == drawn
    with pytest.raises(ValueError, match=r"shapes_clean holds scenes of .*'seed': 3.*, not of .*'seed': 4"):
        write_scenes(scenes / 'shapes_clean', scenes='clean', num_images={'train': 4, 'val': 2}, seed=4)


def test_objects_of_a_scene(scenes):
    drawn = generate_sample(2, seed=3, split='train', config=DIFFICULTY['medium'])
    objects = SceneObjects(str(scenes / 'shapes_clean' / 'refcoco' / 'instances.json'))

    masks = objects.masks(f'elsewhere/{drawn.image_id:012d}.jpg').numpy()

    # A polygon may stand for the mask of a shape: its raster agrees to 98%.
    ious = [(found & truth).sum() / (found | truth).sum() for found, truth in zip(masks, drawn.masks, strict=True)]
    assert min(ious) >= 0.98


@pytest.fixture
def noisy_dataset(scenes, config):
    """The training set as a config."""
    init_default_scope('flmm')
    dataset = Config.fromfile(config).train_dataloader.dataset
    dataset.data_root = str(scenes / 'shapes_noisy')
    return dataset


def known(dataset, condition, *, model=None, num_images=4, seed=0):
    (condition,) = [one for one in all_conditions() if one.name == condition]
    return known_samples(model or tiny_grounder(), dataset, condition, num_images=num_images, seed=seed)


def test_known_samples(noisy_dataset):
    model = tiny_grounder()
    random.seed(1)
    dense = known(noisy_dataset, 'dense', model=model, num_images=3)
    random.seed(2)
    budget = known(noisy_dataset, 'budget-entropy-0.3', model=model, num_images=3)

    assert [len(found) for found in (dense, budget)] == [3, 3]
    assert [dense[i].phrases for i in range(3)] == [budget[i].phrases for i in range(3)]
    other = known(noisy_dataset, 'dense', model=model, num_images=3, seed=1)
    assert [dense[i].phrases for i in range(3)] != [other[i].phrases for i in range(3)]
    assert dense.kept_fractions == [1, 1, 1]
    for sample, fraction in zip(budget.samples, budget.kept_fractions, strict=True):
        assert fraction == len(sample.layout) / math.prod(sample.grid_size) <= 0.3
        assert sample.lmm_inputs is None
        replace(sample)  # its fields fit together
        assert model.encode([sample])[0] is sample.features
    assert not torch.equal(dense[0].features.attentions, budget[0].features.attentions)


def test_a_random_budget_is_drawn_in_training_alone(noisy_dataset):
    varied = 'random_budget-laplacian_mean_blur5-0.3'
    in_training = known(noisy_dataset, varied)
    dense = known(noisy_dataset, 'dense')
    noisy_dataset.update(test_mode=True, text_mode='select_first')
    in_tests = known(noisy_dataset, varied)

    assert len(set(in_training.kept_fractions)) == 4
    assert max(in_training.kept_fractions) > 0.3
    assert max(in_tests.kept_fractions) <= 0.3
    assert [in_training[i].phrases for i in range(4)] == [dense[i].phrases for i in range(4)]


# The whole tool


def sweep(config, scenes, work_dir, *arguments):
    run_tool(
        'research/sweep_alpha', '--config', config, '--data-root', scenes, '--work-dir', work_dir,
        '--train-images', '4', '--val-images', '2', '--seed', '3', *arguments,
    )  # fmt: skip


def test_recipe_is_that_of_training(scenes, config, tmp_path, monkeypatch):
    """On the same sentences the losses are those of tools/train.py, iteration by iteration."""
    first = tmp_path / 'first_sentence.py'
    first.write_text(
        f"_base_ = {str(config)!r}\ntrain_dataloader = dict(dataset=dict(text_mode='select_first'))\n"
        'default_hooks = dict(logger=dict(interval=1))\nrandomness = dict(seed=3)\n'
    )
    monkeypatch.chdir(REPOSITORY)
    sweep(first, scenes, tmp_path / 'sweep', '--scenes', 'clean', '--only', 'dense')
    data_root = f'data_root={scenes / "shapes_clean"}'
    run_tool(
        'train', first, '--work-dir', tmp_path / 'train', '--cfg-options', 'experiment_name=same',
        f'train_dataloader.dataset.{data_root}', f'val_dataloader.dataset.{data_root}',
    )  # fmt: skip

    swept, trained = (_losses(tmp_path / name) for name in ('sweep', 'train'))
    assert len(trained) == 4
    assert swept == pytest.approx(trained, rel=1e-4)
    result = json.loads((tmp_path / 'sweep' / 'clean' / 'dense.json').read_text())
    assert result['kept_fraction'] == 1
    assert {'coarse/mIoU', 'refined/mIoU', 'coarse/cIoU', 'refined/cIoU'} <= result['metrics'].keys()


def _losses(folder):
    (scalars,) = Path(folder).rglob('scalars.json')
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [record['loss'] for record in records if 'loss' in record]


def test_sweep_resumes(scenes, config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    chosen = ('--only', 'drop-0.3', 'budget-laplacian_mean-0.3')
    sweep(config, scenes, tmp_path, *chosen, '--scenes', 'noisy')
    results = {path.stem: path for path in (tmp_path / 'noisy').glob('*.json')}
    assert set(results) == {'drop-0.3', 'budget-laplacian_mean-0.3'}
    found = {name: json.loads(path.read_text()) for name, path in results.items()}
    assert found['drop-0.3']['tokens'] == found['budget-laplacian_mean-0.3']['tokens']
    assert found['drop-0.3']['kept_fraction'] <= 0.3
    assert found['drop-0.3']['condition']['series'] == 'drop'
    written = results['budget-laplacian_mean-0.3'].stat().st_mtime_ns
    assert '0 done already' in capsys.readouterr().out

    results['drop-0.3'].unlink()
    sweep(config, scenes, tmp_path, *chosen, '--scenes', 'noisy')

    assert '2 chosen, 1 done already' in capsys.readouterr().out
    assert results['budget-laplacian_mean-0.3'].stat().st_mtime_ns == written
    # the same to the last digit
    again = json.loads(results['drop-0.3'].read_text())
    assert {**again, 'seconds': 0} == {**found['drop-0.3'], 'seconds': 0}
    assert {path.name for path in tmp_path.iterdir()} == {'noisy', 'table.txt', 'table.md', 'plot.png'}
    with pytest.raises(ValueError, match=r"noisy/drop-0\.3\.json has num_images .*'val': 2.*, not .*'val': 3"):
        run_tool(
            'research/sweep_alpha', '--config', config, '--data-root', tmp_path / 'other', '--work-dir', tmp_path,
            '--train-images', '4', '--val-images', '3', '--seed', '3', '--only', 'dense', '--scenes', 'noisy',
        )  # fmt: skip


@pytest.mark.parametrize('changed', ['config', 'lmm'])
def test_a_result_of_another_config_or_lmm_is_refused(changed, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    task = Task(
        condition=all_conditions()[0], scenes='noisy', config='configs/shapes/demo.py', data_root='', num_images={},
        work_dir=str(tmp_path), seed=0, threads=1,
    )  # fmt: skip
    assert not task.is_done()
    task.result_file.parent.mkdir()
    origin = task.origin()
    task.result_file.write_text(json.dumps(origin))
    assert task.is_done()
    for value in ('another', None):
        present = {key: known for key, known in {**origin, changed: value}.items() if known is not None}
        task.result_file.write_text(json.dumps(present))
        with pytest.raises(ValueError, match=f'dense.json has {changed} {value}, not [0-9a-f]{{16}}; choose another'):
            task.is_done()


def test_list_and_patterns(capsys):
    run_tool('research/sweep_alpha', '--list', '--only', 'dense', 'v2-*_blur5-1.0')
    assert capsys.readouterr().out.split() == [
        'dense', 'v2-entropy_blur5-1.0', 'v2-laplacian_mean_blur5-1.0', 'v2-laplacian_max_blur5-1.0',
        'v2-laplacian_std_blur5-1.0', 'v2-upsample_mse_blur5-1.0',
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--only 'desne' names no condition; --list prints them"):
        run_tool('research/sweep_alpha', '--list', '--only', 'desne')


def test_conditions():
    conditions = all_conditions()
    assert (
        len({condition.name for condition in conditions}) == len(conditions) == 2 + 5 * 4 + 10 * (4 + 1 + 2) + 2 * 4 + 2
    )
    for condition in conditions:
        assert wrapper(**condition.settings).alpha_range == (condition.settings['alpha'],) * 2


# Table and plot


def result_of(name, scenes, kept, refined):
    condition = next(condition for condition in all_conditions() if condition.name == name)
    metrics = {'refined/mIoU': refined, 'coarse/mIoU': refined - 20, 'refined/cIoU': 50.06, 'coarse/cIoU': 7}
    return {
        'condition': {'name': name, 'series': condition.series, 'alpha': condition.alpha},
        'scenes': scenes,
        'tokens': 150 * kept,
        'kept_fraction': kept,
        'metrics': metrics,
    }


RESULTS = [
    result_of('dense', 'clean', 1.0, 80),
    result_of('oracle_area-0.5', 'clean', 0.49, 60),
    result_of('oracle_edge-0.5', 'clean', 0.49, 70),
    result_of('budget-entropy-0.5', 'clean', 0.49, 71),
    result_of('budget-entropy-0.3', 'clean', 0.29, 55),
    result_of('v1-entropy', 'noisy', 0.9, 75),
]


def test_tables():
    assert format_text(RESULTS[:2]).splitlines() == [
        'scenes  condition        tokens  kept %  refined mIoU  coarse mIoU  refined cIoU  coarse cIoU',
        'clean   dense             150.0   100.0          80.0         60.0          50.1          7.0',
        'clean   oracle_area-0.5    73.5    49.0          60.0         40.0          50.1          7.0',
    ]
    assert format_markdown(RESULTS[:1]).splitlines() == [
        '| scenes | condition | tokens | kept % | refined mIoU | coarse mIoU | refined cIoU | coarse cIoU |',
        '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |',
        '| clean | dense | 150.0 | 100.0 | 80.0 | 60.0 | 50.1 | 7.0 |',
    ]


def test_plot_shows_the_best_oracle():
    assert best_oracle(RESULTS) == 'oracle_edge'
    assert best_oracle(RESULTS[:1]) is None
    # One more point, that the other oracle lacks, says nothing.
    assert best_oracle([*RESULTS, result_of('oracle_area-0.5', 'noisy', 0.49, 90)]) == 'oracle_edge'
    axes = draw(RESULTS).axes
    assert [panel.get_title() for panel in axes] == ['clean scenes', 'clean scenes', 'noisy scenes', 'noisy scenes']
    lines = {line.get_label(): line for line in axes[1].lines}
    assert set(lines) == {'dense', 'oracle_edge', 'budget entropy'}
    np.testing.assert_allclose(lines['budget entropy'].get_xydata(), [[29, 35], [49, 51]])
    assert axes[1].get_ylabel() == 'coarse mIoU, %'
    assert [line.get_label() for line in axes[2].lines] == ['v1 entropy']
