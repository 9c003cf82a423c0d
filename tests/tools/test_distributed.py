import json

import pytest
import torch
from processes import launch

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')

# Gradients of averaged losses are averages only without Adam's division by their size.
SGD_CONFIG = """
_base_ = './tiny.py'
train_dataloader = dict(sampler=dict(shuffle=False), dataset=dict(text_mode={text_mode!r}, indices=[{indices}]))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1.0))
param_scheduler = None
"""


@pytest.mark.parametrize(
    ('text_mode', 'indices', 'launcher'),
    [('select_first', '1, 2', 'slurm'), ('original', '0, 1', 'mpi'), ('original', '0, 2', 'pytorch')],
    ids=['1 and 1 phrases', '5 and 4 phrases', '5 and 3 phrases'],
)
def test_two_processes_train_what_one_does(config, tmp_path, text_mode, indices, launcher):
    """Each phrase of the whole batch counts alike, whichever process has it."""
    sgd_config = config.with_name('sgd.py')
    sgd_config.write_text(SGD_CONFIG.format(text_mode=text_mode, indices=indices))

    launch(1, tmp_path, 'train', sgd_config, '--work-dir', tmp_path / 'one', '--cfg-options', 'experiment_name=one')
    launch(
        2, tmp_path, 'train', sgd_config, '--work-dir', tmp_path / 'two',
        '--cfg-options', 'experiment_name=two', 'train_dataloader.batch_size=1',
        launcher=launcher,
    )  # fmt: skip

    first, one, two = (
        torch.load(tmp_path / path, weights_only=True)
        for path in ('one/epoch_1.pth', 'one/epoch_2.pth', 'two/epoch_2.pth')
    )
    assert one['meta']['iter'] == two['meta']['iter'] == 2
    assert one['state_dict'].keys() == two['state_dict'].keys()
    for key, value in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][key], value, rtol=0, atol=2e-6)
    steps = [(one['state_dict'][key] - first['state_dict'][key]).abs().max() for key in one['state_dict']]
    assert max(steps) > 1e-3


def test_several_processes_give_the_metrics_and_predictions_of_one(trained, tmp_path):
    """Five items over two and three processes: samplers repeat some, which must not be counted twice."""
    options = ['--cfg-options', '+test_dataloader.dataset.protocols=(every_sentence,)']
    found = []
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        places = ['--work-dir', folder, '--out', folder / 'predictions.jsonl']
        checkpoint = trained.work_dir / 'epoch_2.pth'
        launch(number, folder, 'test', trained.config, checkpoint, *places, *options, f'experiment_name=test_{number}')
        metrics = json.loads((folder / 'metrics.json').read_text())
        run = metrics.pop('run')
        assert run['cfg_options'].pop('experiment_name') == f'test_{number}'
        files = [(folder / name).read_bytes() for name in ('predictions.jsonl', 'predictions.truth.jsonl')]
        found.append((metrics, files))

    one, *others = found
    assert [each == one for each in others] == [True, True]
    metrics, files = one
    assert 'shapes_testA_every_sentence/refined/mIoU_low' in metrics
    assert [file.count(b'\n') for file in files] == [12, 12]
