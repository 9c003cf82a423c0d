"""What every family gets for nothing: each tool, inference and stored features, over the tiny model of each."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from PIL import Image
from prediction_lines import read_lines
from pycocotools import mask as coco_mask
from same_run import assert_same_run, load
from tiny_refcoco import REFS, REPOSITORY, run_script, run_tool, train, write_cached_config, write_workspace

from flmm.families import FAMILIES
from flmm.grounder import Grounder
from flmm.models.build import build_model
from flmm.registry import DATASETS, MODELS


class TrainedFamily(NamedTuple):
    """A workspace with the tiny model of a family, and its run of two epochs on the first sentence of each ref."""

    model_type: str
    config: Path
    work_dir: Path

    @property
    def checkpoint(self):
        return self.work_dir / 'epoch_2.pth'

    @property
    def settings(self):
        init_default_scope('flmm')
        return Config.fromfile(self.config)


def make_workspace(model_type, folder):
    path = write_workspace(folder, model_type=model_type).with_name('first_sentences.py')
    path.write_text("_base_ = './tiny.py'\ntrain_dataloader = dict(dataset=dict(text_mode='select_first'))\n")
    return path


@pytest.fixture(scope='module', autouse=True)
def _in_the_repository():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        yield


@pytest.fixture(scope='module', params=FAMILIES)
def family(request, tmp_path_factory, _one_thread, _in_the_repository):
    config = make_workspace(request.param, tmp_path_factory.mktemp(request.param))
    work_dir = config.with_name('trained')
    train(config, work_dir)
    return TrainedFamily(request.param, config, work_dir)


@pytest.fixture(scope='module')
def grounder(family):
    return Grounder.from_config(family.config, checkpoint=family.checkpoint)


def test_a_run_that_is_resumed_after_an_epoch_is_the_one_that_went_through(family, tmp_path):
    train(family.config, tmp_path / 'resumed', resume=['--resume', family.work_dir / 'epoch_1.pth'])
    first, final = load(family.work_dir / 'epoch_1.pth'), load(family.checkpoint)
    assert_same_run(load(tmp_path / 'resumed' / 'epoch_2.pth'), final)
    assert not any(name.startswith('lmm.') for name in final['state_dict'])
    assert any(not torch.equal(value, first['state_dict'][name]) for name, value in final['state_dict'].items())


def test_the_test_sets_are_scored_as_the_masks_say_that_inference_gives(family, grounder, tmp_path):
    out, name = tmp_path / 'predictions.jsonl', f'experiment_name={family.model_type}_tested'
    run_tool('test', family.config, family.checkpoint, '--work-dir', tmp_path, '--out', out, '--cfg-options', name)
    predictions, metrics = read_lines(out), json.loads((tmp_path / 'metrics.json').read_text())
    del metrics['run']
    numbers = [len(sentences) for split, _, sentences in REFS if split != 'train']
    assert len(predictions) == sum(numbers) + len(numbers)  # every sentence, and the first of each object
    assert all(0 <= value <= 100 for value in metrics.values())
    name = 'shapes_val_first_sentence'
    records = [record for record in predictions if record['test_set'] == name]
    found = grounder(records[0]['image'], [record['phrase'] for record in records])
    truths = {line['phrase']: line['mask'] for line in read_lines(tmp_path / 'predictions.truth.jsonl')}
    for source, masks in (('coarse', found.coarse_masks), ('refined', found.masks)):
        ious = []
        for record, mask in zip(records, masks, strict=True):
            predicted = np.zeros(mask.shape) if record[source] is None else coco_mask.decode(record[source])
            assert np.array_equal(predicted, mask.numpy())
            truth = coco_mask.decode(truths[record['phrase']]).astype(bool)
            ious.append((mask.numpy() & truth).sum() / (mask.numpy() | truth).sum())
        assert metrics[f'{name}/{source}/mIoU'] == pytest.approx(100 * np.mean(ious), abs=1e-9)


def test_a_phrase_is_grounded_whatever_stands_beside_it(grounder):
    pixels = np.random.default_rng(3).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    phrases = ['the cat', 'a very red dog', 'x']
    read = grounder.read(Image.fromarray(pixels))
    (found,) = grounder.model([read.sample(phrases)], mode='predict')
    channels = grounder.model.num_views * sum(map(len, grounder.model.heads.values()))
    assert found.mask_attentions.shape == (3, channels, *found.grid_size)
    assert [len(embeds) for embeds in found.text_embeds] == found.tokens_per_mask
    grounding = read.ground(phrases)
    assert torch.equal(grounding.coarse.in_image(), found.pred_masks)
    assert torch.equal(grounding.refined.in_image(), found.sam_pred_masks)
    for index, phrase in enumerate(phrases):
        (alone,) = grounder.model([grounder.read(pixels).sample([phrase])], mode='predict')
        assert torch.equal(found.input_ids[found.mask_ids == index], alone.input_ids[alone.mask_ids == 0])
        for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks'):
            torch.testing.assert_close(getattr(found, name)[index], getattr(alone, name)[0], atol=1e-5, rtol=1e-5)


def test_a_checkpoint_is_refused_over_the_lmm_of_another_family(family, tmp_path):
    model = FAMILIES[family.model_type].model
    other = next(name for name in FAMILIES if FAMILIES[name].model != model)
    config = make_workspace(other, tmp_path)
    with pytest.raises(ValueError, match=r'the checkpoint was trained over another LMM .* than the model has'):
        Grounder.from_config(config, checkpoint=family.checkpoint)
    settings = Config.fromfile(config)
    settings.model.type = family.settings.model.type
    own, others = (FAMILIES[name].model.rpartition('.')[2] for name in (family.model_type, other))
    with pytest.raises(ValueError, match=f"of model type '{other}'; {own} does not run it, {others} does"):
        build_model(settings)


def test_stored_features_train_as_the_model_does(family):
    config = write_cached_config(family.config, draws=1)
    run_tool('cache_features', config, '--num-workers', '0', '--batch-size', '2')
    train(config, config.with_name('trained_cached'))
    found, expected = (load(each / 'epoch_2.pth') for each in (config.with_name('trained_cached'), family.work_dir))
    for name in ('loss', 'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice'):
        losses = [
            run['message_hub']['log_scalars'][f'train/{name}']['log_history'].tolist() for run in (found, expected)
        ]
        assert len(losses[0]) == 4
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert found['meta']['frozen_parts'] == expected['meta']['frozen_parts']
    grounder = Grounder.from_config(config, checkpoint=config.with_name('trained_cached') / 'epoch_2.pth')
    assert grounder(np.zeros((60, 80, 3), dtype=np.uint8), ['cat']).masks.shape == (1, 60, 80)


def best_iou(attention, covered):
    """IoU at the best of all thresholds, one after the other."""
    ious = []
    for threshold in np.unique(attention):
        taken = attention >= threshold
        intersection = covered[taken].sum()
        ious.append(intersection / (taken.sum() + covered.sum() - intersection))
    return max(ious)


def test_heads_are_scored_by_the_better_view_and_written_as_configs_to_train(family, tmp_path):
    run_tool('select_heads', family.config, '--num-images', '2', '--top', '3', '--seed', '4', '--work-dir', tmp_path)
    ranking = json.loads((tmp_path / 'heads.json').read_text())['heads']

    set_random_seed(4)
    samples = next(iter(Runner.build_dataloader(family.settings.train_dataloader, seed=4)))['data_samples']
    model = MODELS.build(family.settings.model)
    scores = []
    for sample, (attentions, _) in zip(samples, zip(*model.run_lmm(samples), strict=True), strict=True):
        frame, grid = sample.meta_data, sample.grid_size
        centres = [  # of cells, from 0 to 1 over the image
            ((np.arange(cells) + 0.5) / cells * frame['padded_shape'][axis] - frame['padding'][f'before_{axis}'])
            / frame['image_shape'][axis]
            for axis, cells in zip(('height', 'width'), grid, strict=True)
        ]
        rows, columns = ((place >= 0) & (place < 1) for place in centres)
        covered = torch.nn.functional.adaptive_avg_pool2d(sample.masks.double(), grid).numpy()
        for maps, cover in zip(attentions.numpy(), covered, strict=True):
            ious = [best_iou(each[np.ix_(rows, columns)], cover[np.ix_(rows, columns)]) for each in maps]
            scores.append(np.reshape(ious, (model.num_views, -1)).max(axis=0))
    heads = [(layer, head) for layer, chosen in model.heads.items() for head in chosen]
    expected = dict(zip(heads, np.mean(scores, axis=0), strict=True))
    assert {(row['layer'], row['head']): row['iou'] for row in ranking} == pytest.approx(expected, abs=1e-5)

    path = tmp_path / 'first_sentences_heads_3.py'
    settings = Config.fromfile(path)
    assert settings.model.heads == sorted((row['layer'], row['head']) for row in ranking[:3])
    train(path, tmp_path / 'trained', 'train_cfg.max_epochs=1')
    weights = load(tmp_path / 'trained' / 'epoch_1.pth')['state_dict']
    widths = {value.shape[1] for name, value in weights.items() if name.startswith('mask_head.') and value.ndim == 4}
    assert model.num_views * 3 in widths
    build_model(settings, checkpoint=tmp_path / 'trained' / 'epoch_1.pth')


def test_the_debug_script_says_all_of_every_view(family, tmp_path, capsys):
    script = REPOSITORY / 'tests' / 'debug_frozen_qwen_forward.py'
    run_script(script, family.config, '--checkpoint', family.checkpoint, '--out-dir', tmp_path)
    printed = capsys.readouterr().out
    sample = DATASETS.build(family.settings.val_dataloader.dataset)[0]
    own = FAMILIES[family.model_type]
    assert f'{own.model.rpartition(".")[2]} over {own.lmm}: ' in printed
    for index, view in enumerate(sample.views):
        assert f'view {index}: a grid of {view.layout.grid_size} cells over {view.meta_data}' in printed
    for name in sample.lmm_inputs:
        assert f'  {name} ' in printed
    assert {path.name for path in tmp_path.iterdir()} == {'sample_0_masks.png', 'sample_0_heads.png'}


def test_batches_are_made_by_the_number_of_image_tokens(family):
    settings = family.settings.train_dataloader
    dataset = DATASETS.build(settings.dataset)
    counts = dataset.num_image_tokens()
    image_token_id = dataset.pipeline.transforms[-1].image_processor.image_token_id
    most = 2 * max(counts)
    loader = {**settings, 'batch_size': 3, 'batch_sampler': {'type': 'TokenBatchSampler', 'max_tokens': most}}
    seen = []
    for batch in Runner.build_dataloader(loader, seed=0):
        samples = batch['data_samples']
        found = {Path(each.image_path).stem: int((each.input_ids == image_token_id).sum()) for each in samples}
        assert max(found.values()) * len(samples) <= most
        seen += found.items()
    assert [name for name, _ in sorted(seen)] == ['1', '2', '3', '4']  # the images of the split train, as counted
    assert all(number <= count for (_, number), count in zip(sorted(seen), counts, strict=True))
