import datetime
import hashlib
import json
import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from PIL import Image
from prediction_lines import flat_scores, read_lines
from pycocotools import mask as coco_mask
from tiny_refcoco import IMAGE_SIZES, REFS, REPOSITORY, run_tool

from flmm.engine import visualization_hook
from flmm.models import FrozenQwenSAM
from flmm.registry import METRICS
from flmm.test_set_names import PROTOCOLS

SENTENCES = {'val': 3, 'testA': 6, 'testB': 3}
FIRST_SENTENCES = {'val': 2, 'testA': 3, 'testB': 2}


@pytest.fixture(scope='module')
def results(trained):
    """(predictions, metrics) of the trained checkpoint on all test sets."""
    work_dir = trained.config.parent / 'tested'
    out = work_dir / 'dumped' / 'predictions.jsonl'
    run_tool(
        'test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', work_dir, '--out', out,
        '--cfg-options', 'experiment_name=tested',
    )  # fmt: skip
    return read_lines(out), json.loads((work_dir / 'metrics.json').read_text())


@pytest.fixture(scope='module')
def figures(results):
    """The metrics without what the run was."""
    return {key: value for key, value in results[1].items() if key != 'run'}


@pytest.fixture(scope='module')
def truths(config):
    """(split, image id, phrase) -> [IH, IW] bool, drawn by pycocotools from the annotation file."""
    annotations = json.loads((config.parent / 'data' / 'refcoco' / 'instances.json').read_text())['annotations']
    masks = {}
    for (split, image_id, sentences), annotation in zip(REFS, annotations, strict=True):
        mask = coco_mask.decode(coco_mask.frPyObjects(annotation['segmentation'], *IMAGE_SIZES[image_id]))
        masks |= {(split, image_id, sentence): mask.any(axis=2) for sentence in sentences}
    return masks


def counts(record, source, truths):
    """(intersection, union) from the dumped RLE and the truth."""
    truth = truths[record['test_set'].split('_')[1], int(Path(record['image']).stem), record['phrase']]
    predicted = np.zeros_like(truth) if record[source] is None else coco_mask.decode(record[source]).astype(bool)
    return int((predicted & truth).sum()), int((predicted | truth).sum())


def test_every_phrase_is_scored_once(results):
    """mmengine cuts results to the number of items, which are images: no sentence may get lost."""
    predictions, _ = results
    found = {}
    for record in predictions:
        found.setdefault(record['test_set'], []).append(record['phrase'])

    for protocol, numbers in (('every_sentence', SENTENCES), ('first_sentence', FIRST_SENTENCES)):
        for split, number in numbers.items():
            sentences = [sentences for split_of_ref, _, sentences in REFS if split_of_ref == split]
            expected = [s for ref in sentences for s in (ref if protocol == 'every_sentence' else ref[:1])]
            assert sorted(found.pop(f'shapes_{split}_{protocol}')) == sorted(expected)
            assert len(expected) == number
    assert not found


def test_the_file_of_truths_holds_the_annotations(results, trained, truths):
    predictions, _ = results
    lines = read_lines(trained.config.parent / 'tested' / 'dumped' / 'predictions.truth.jsonl')
    for line, prediction in zip(lines, predictions, strict=True):
        split, image_id = line['test_set'].split('_')[1], int(Path(line['image']).stem)
        np.testing.assert_array_equal(coco_mask.decode(line['mask']), truths[split, image_id, line['phrase']])
        for key in ('test_set', 'image', 'phrase', 'kind'):
            assert line.get(key) == prediction.get(key)


def test_metrics_follow_from_the_masks(results, figures, truths):
    predictions, _ = results
    expected = {}
    for source in ('coarse', 'refined'):
        for name in {record['test_set'] for record in predictions}:
            members = [record for record in predictions if record['test_set'] == name]
            pairs = np.array([counts(record, source, truths) for record in members], dtype=np.float64)
            ious = pairs[:, 0] / pairs[:, 1]
            expected[f'{name}/{source}/cIoU'] = 100 * pairs[:, 0].sum() / pairs[:, 1].sum()
            expected[f'{name}/{source}/mIoU'] = 100 * ious.mean()
            for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
                expected[f'{name}/{source}/Pr@{threshold}'] = 100 * (ious >= threshold).mean()
            for kind in {record.get('kind') for record in members} - {None}:
                chosen = [record.get('kind') == kind for record in members]
                expected[f'{name}/{source}/mIoU/{kind}'] = 100 * ious[chosen].mean()

    values = {key: value for key, value in figures.items() if not re.search('_(low|high)(/|$)', key)}
    assert values == pytest.approx(expected, rel=1e-9)
    assert any(value > 0 for value in values.values())  # else the test would be void
    # kinds are known of testA and testB; first sentences are of kind 'name'
    assert 'shapes_testA_every_sentence/coarse/mIoU/clause' in values
    assert 'shapes_testA_first_sentence/coarse/mIoU/name' in values
    assert 'shapes_testA_first_sentence/coarse/mIoU/clause' not in values
    assert not any('val' in key and key.count('/') == 3 for key in values)


def test_intervals_are_there_where_a_test_set_has_several_images(figures):
    bounded = {key.split('/')[0] for key in figures if '_low' in key}
    assert bounded == {f'shapes_{split}_{protocol}' for split in ('testA', 'testB') for protocol in PROTOCOLS}


def test_the_log_has_the_table_in_place_of_one_long_line(results, trained):
    (path,) = (trained.config.parent / 'tested').glob('*/*.log')
    lines = path.read_text().split('results in percent\n')[1].splitlines()
    assert lines[0].split() == ['first', 'sentence', 'shapes']
    assert lines[2].split()[:2] == ['refined', 'mIoU']
    assert max(map(len, lines)) <= 120
    assert not any('_low' in line for line in lines)


def test_what_the_run_was_stands_beside_the_metrics(results, trained):
    checkpoint = trained.work_dir / 'epoch_2.pth'
    run = results[1]['run']
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(run.pop('date'))
    assert datetime.timedelta(0) <= age < datetime.timedelta(hours=1)
    versions = run.pop('versions')
    assert versions.keys() == {'flmm', 'python', 'torch', 'transformers', 'mmengine', 'mmdet'}
    assert versions['torch'].split('+')[0] == torch.__version__.split('+')[0]
    assert run == {
        'config': str(trained.config),
        'cfg_options': {'experiment_name': 'tested'},
        'checkpoint': str(checkpoint),
        'checkpoint_sha256': hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        'seed': 0,
    }


def test_figures_are_those_that_scoring_the_files_gives_to_the_last_digit(results, figures, trained, tmp_path):
    folder = trained.config.parent / 'tested' / 'dumped'
    run_tool(
        'score', folder / 'predictions.jsonl', folder / 'predictions.truth.jsonl', '--json', tmp_path / 'scores.json'
    )
    assert flat_scores(tmp_path / 'scores.json') == figures


def test_figures_are_those_that_validation_logged_to_the_last_digit(figures, trained):
    (path,) = trained.work_dir.glob('*/vis_data/scalars.json')
    *_, logged = [line for line in read_lines(path) if 'shapes_val_first_sentence/refined/mIoU' in line]
    tested = {key: value for key, value in figures.items() if key.startswith('shapes_val_first_sentence/')}
    assert len(tested) == 14
    assert {key: logged[key] for key in tested} == tested


def coarse_masks_of_dog(predictions):
    return {record['test_set']: record['coarse']['counts'] for record in predictions if record['phrase'] == 'dog'}


def test_a_phrase_has_the_same_mask_under_both_protocols(results):
    masks = coarse_masks_of_dog(results[0])
    assert masks['shapes_val_every_sentence'] == masks['shapes_val_first_sentence']


def test_in_one_sequence_a_phrase_sees_those_before_it(trained, tmp_path):
    """So the protocols differ: alone in its forward, a second phrase gets other maps than behind the first one."""
    run_tool(
        'test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
        '--out', tmp_path / 'found.jsonl', '--cfg-options', 'test_dataloader.dataset.splits=(val,)',
        '+test_dataloader.dataset.pipeline.2.independent=False',
    )  # fmt: skip
    masks = coarse_masks_of_dog(map(json.loads, (tmp_path / 'found.jsonl').read_text().splitlines()))
    assert masks['shapes_val_every_sentence'] != masks['shapes_val_first_sentence']


def test_pictures(trained, tmp_path, capsys):
    run_tool(
        'test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
        '--show-dir', tmp_path / 'shown', '--cfg-options', 'experiment_name=shown',
        'test_dataloader.dataset.splits=(val,testB)', '+test_dataloader.dataset.protocols=(first_sentence,)',
    )  # fmt: skip

    sizes = {
        str(path.relative_to(tmp_path / 'shown')): Image.open(path).size for path in (tmp_path / 'shown').rglob('*.*')
    }
    # 100 px to the inch, five columns of 2.1 inches, a row of 2.35 for each phrase
    assert sizes == {
        'shapes_val_first_sentence/5_0_0.png': (1050, 470),
        'shapes_testB_first_sentence/6_0_0.png': (1050, 235),
        'shapes_testB_first_sentence/5_1_1.png': (1050, 235),
    }
    table = capsys.readouterr().out.splitlines()
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    rows = {line[:14].strip(): line[14:].split('  ') for line in table}
    assert rows['first sentence'][-1] == 'shapes'
    value, low, high = (metrics[f'shapes_testB_first_sentence/refined/cIoU{end}'] for end in ('', '_low', '_high'))
    assert rows['refined cIoU'][-1] == f'{value:.1f} ±{(high - low) / 2:.1f}'


def test_a_picture_that_fails_costs_nothing_else(trained, tmp_path, monkeypatch, capsys):
    """Phrases are drawn when all results are written, and after one that fails come the others."""

    def draw_page(page):
        assert (tmp_path / 'metrics.json').exists()
        assert (tmp_path / 'predictions.jsonl').exists()
        if page.rows[0].phrase == 'cup':
            raise RuntimeError('no ink')
        return drawn(page)

    drawn = visualization_hook.draw_page
    monkeypatch.setattr(visualization_hook, 'draw_page', draw_page)
    with pytest.raises(ValueError, match=r'1 of 3 pictures could not be drawn .*/6_0_0\.png'):
        run_tool(
            'test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
            '--out', tmp_path / 'predictions.jsonl', '--show-dir', tmp_path / 'shown',
            '--cfg-options', 'experiment_name=failing', 'test_dataloader.dataset.splits=(val,testB)',
            '+test_dataloader.dataset.protocols=(first_sentence,)', 'test_dataloader.dataset.name=a/$b',
        )  # fmt: skip
    shown = sorted(str(path.relative_to(tmp_path / 'shown')) for path in (tmp_path / 'shown').rglob('*.png'))
    assert shown == ['a%2F$b_testB_first_sentence/5_1_1.png', 'a%2F$b_val_first_sentence/5_0_0.png']
    assert len(read_lines(tmp_path / 'predictions.jsonl')) == 4
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('first sentence') and line.endswith('  a/$b')]
    cell = f'{metrics["a/$b_val_first_sentence/refined/cIoU"]:.1f}'
    assert next(line.split()[2] for line in lines if line.startswith('refined cIoU')) == cell


@pytest.mark.parametrize('evaluator', [{'type': 'A'}, [{'type': 'A'}], ({'type': 'A'},)], ids=type)
def test_predictions_are_dumped_beside_any_evaluator(evaluator):
    with_metric = runpy.run_path(str(REPOSITORY / 'tools' / 'test.py'))['with_metric']
    metrics = [{'type': 'A'}, {'type': 'Dump'}]
    assert with_metric(evaluator, {'type': 'Dump'}) == metrics
    of_a_class = {'type': 'Evaluator', 'metrics': evaluator}
    assert with_metric(of_a_class, {'type': 'Dump'}) == {'type': 'Evaluator', 'metrics': metrics}


class OddMetric(BaseMetric):
    """A user's own metric of all sorts of values."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {'speed': np.float32(0.5), 'per/class': {'a': torch.tensor([1, 2])}, 'odd': 1j}


def test_any_metric_may_stand_beside(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(METRICS.module_dict, 'OddMetric', OddMetric)
    config = tmp_path / 'odd.py'
    config.write_text(
        f'_base_ = {str(trained.config)!r}\n'
        "test_evaluator = [dict(type='OddMetric'), dict(type='GroundingMetric', prefix='run/1')]\n"
        "test_dataloader = dict(dataset=dict(splits=['testA'], protocols=['every_sentence']))\n"
    )
    with pytest.raises(ValueError, match=r"metrics\.json' holds all metrics but those .*: 'odd' is a complex; let the"):
        run_tool(
            'test', config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
            '--cfg-options', 'experiment_name=odd',
        )  # fmt: skip
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics.pop('speed') == 0.5
    assert metrics.pop('per/class') == {'a': [1, 2]}
    assert 'run/1/shapes_testA_every_sentence/refined/mIoU/clause' in metrics
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['every', 'sentence', 'run/1/shapes'] in lines
    cell = f'{metrics["run/1/shapes_testA_every_sentence/refined/mIoU"]:.1f}'
    assert next(line for line in lines if line[:2] == ['refined', 'mIoU'])[2] == cell
    assert [line for line in lines if line and line[0] in ('speed', 'per/class', 'odd')] == [
        ['speed', '0.5'], ['per/class', "{'a':", '[1,', '2]}'], ['odd', '1j'],
    ]  # fmt: skip


def test_checkpoint_of_another_model(trained, tmp_path):
    message = (
        r'52 of another shape: mask_head\.conv_seg\.weight has \(1, 4, 1, 1\), the model \(1, 6, 1, 1\), mask_head\.'
    )
    with pytest.raises(ValueError, match=message) as error:
        run_tool(
            'test', trained.config, trained.work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
            '--cfg-options', 'model.mask_head.base_channels=6', 'experiment_name=other',
        )  # fmt: skip
    assert str(error.value).startswith("the checkpoint does not hold this model's trainable part: ")
    assert str(error.value).endswith('Load it with the config that it was trained with.')


def test_no_checkpoint_of_a_model_that_was_trained(trained, tmp_path):
    with pytest.raises(
        ValueError, match=r"no checkpoint was given, but the model of '.*tiny\.py' has a trained part \("
    ):
        run_tool('test', trained.config, '--work-dir', tmp_path, '--cfg-options', 'experiment_name=no_checkpoint')
    assert not (tmp_path / 'metrics.json').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{folder}/absent.pth'], r"checkpoint '.*/absent\.pth' does not exist"),
        (['{folder}'], r"checkpoint '.*' is a folder, not a file"),
        (['--out', '{folder}/file/out.jsonl'], r"out_file_path is '.*', and its folder cannot be made"),
        (['--out', '{folder}/out.json'], r"it must end in '\.jsonl'"),
    ],
)
def test_what_cannot_be_read_or_written_is_named_before_the_model_is_built(arguments, message, trained, tmp_path):
    (tmp_path / 'file').touch()
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    with pytest.raises(ValueError, match=message):
        run_tool('test', trained.config, *arguments, '--work-dir', tmp_path / 'run')
    assert not (tmp_path / 'run').exists()  # a runner makes it first


def test_a_model_without_a_trained_part_needs_no_checkpoint(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(FrozenQwenSAM, 'state_dict', lambda self, *args, **kwargs: {})
    run_tool(
        'test', trained.config, '--work-dir', tmp_path, '--cfg-options', 'experiment_name=training_free',
        'test_dataloader.dataset.splits=(val,)', '+test_dataloader.dataset.protocols=(first_sentence,)',
    )  # fmt: skip
    run = json.loads((tmp_path / 'metrics.json').read_text())['run']
    assert run['checkpoint'] is run['checkpoint_sha256'] is None
    assert run['cfg_options']['test_dataloader.dataset.splits'] == ['val']


def test_metrics_are_finite(figures):
    assert all(math.isfinite(value) and 0 <= value <= 100 for value in figures.values())
