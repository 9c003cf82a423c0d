"""Of the demo, training's validation, tools/test.py on several processes and tools/score.py give the same figures."""

import json
import re

import pytest
import torch
from prediction_lines import flat_scores, read_lines
from processes import launch
from tiny_refcoco import REPOSITORY, run_tool, train

from flmm.shapes import build_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one'),
]
# Models and schedule are those of the demo that judges existence; beside its test sets, the captions of the pictures.
CONFIG = """
_base_ = {base!r}
root = dict(data_root={root!r})
train_dataloader = dict(dataset=root)
sets = dict(
    _delete_=True,
    type='JointDataset',
    pipeline=_base_.val_dataloader.dataset.pipeline,
    datasets=[
        dict(
            type='RefCocoTestSets', dataset_type='GRefCocoDataset', name='shapes', splits=('val', 'testA'),
            **{{**_base_.grefcoco, **root}},
        ),
        dict(
            type='PNGDataset', name='png_val', test_mode=True, ann_file='annotations/png_coco_val.json',
            panoptic_file='annotations/panoptic_val.json',
            data_prefix=dict(img_path='images/', panoptic_path='annotations/panoptic_val/'), **root,
        ),
    ],
)
val_dataloader = dict(dataset=sets)
test_dataloader = dict(dataset=sets)
"""
PROTOCOLS = ('first_sentence', 'every_sentence')
TEST_SETS = {'png_val', *(f'shapes_{split}_{protocol}' for split in ('val', 'testA') for protocol in PROTOCOLS)}


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """(config, work dir) of the demo trained for a few iterations, validated on all test sets."""
    root = tmp_path_factory.mktemp('demo')
    build_dataset(root / 'shapes', num_images={'train': 24, 'val': 7, 'testA': 2}, seed=0)
    config = root / 'demo.py'
    base = REPOSITORY / 'configs' / 'shapes' / 'demo_no_target.py'
    config.write_text(CONFIG.format(base=str(base), root=f'{root}/shapes/'))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)  # where the config finds the models
        train(config, root / 'trained')
    return config, root / 'trained'


@pytest.fixture(scope='module')
def tested(demo, tmp_path_factory):
    """For one, two and three processes the metrics and the folder of the predictions."""
    config, work_dir = demo
    found = []
    for number in (1, 2, 3):
        folder = tmp_path_factory.mktemp(f'on_{number}')
        (folder / 'assets').symlink_to(REPOSITORY / 'assets')
        launch(
            number, folder, 'test', config, work_dir / 'epoch_1.pth', '--work-dir', folder,
            '--out', folder / 'predictions.jsonl', '--cfg-options', f'experiment_name=on_{number}',
        )  # fmt: skip
        metrics = json.loads((folder / 'metrics.json').read_text())
        metrics.pop('run')
        found.append((metrics, folder))
    return found


def test_any_number_of_processes_gives_the_same(tested):
    """To the last digit: a batch is one item, so that nothing is rounded otherwise.

    7 + 2 pictures under both protocols and 7 captions are 25 items: samplers repeat one for two processes, and two for
    three.
    """
    (one, folder), *others = tested
    assert {key.split('/')[0] for key in one} == TEST_SETS
    assert {'shapes_val_every_sentence/refined/N_acc', 'png_val/refined/AR_plurals'} <= one.keys()
    assert 0 < one['shapes_val_every_sentence/refined/mIoU'] < 100
    for metrics, other_folder in others:
        assert metrics == one
        for name in ('predictions.jsonl', 'predictions.truth.jsonl'):
            assert (other_folder / name).read_bytes() == (folder / name).read_bytes()


def test_scoring_the_files_gives_the_same(tested, tmp_path):
    for number, (metrics, folder) in enumerate(tested):
        scores = tmp_path / f'{number}.json'
        run_tool('score', folder / 'predictions.jsonl', folder / 'predictions.truth.jsonl', '--json', scores)
        assert flat_scores(scores) == metrics


def test_validation_logged_the_same(demo, tested):
    """But for the intervals, which validation leaves out."""
    (path,) = demo[1].glob('*/vis_data/scalars.json')
    *_, logged = [line for line in read_lines(path) if 'png_val/refined/mIoU' in line]
    metrics = {key: value for key, value in tested[0][0].items() if not re.search('_(low|high)', key)}
    assert {key.split('/')[0] for key in metrics} == TEST_SETS
    assert {key: logged[key] for key in metrics} == metrics
