import json

import pytest
import torch
from processes import launch

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')

# A step of this is the gradient: Adam divides it by its size, and clipping by its norm.
SGD_CONFIG = """
_base_ = './tiny.py'
train_dataloader = dict(sampler=dict(shuffle=False), dataset=dict(text_mode={text_mode!r}, indices=[{indices}]))
optim_wrapper = dict(clip_grad=None, optimizer=dict(_delete_=True, type='SGD', lr=0.1))
param_scheduler = None
"""

# AdamW and the clipping of the config; batches of 5 and 3, 4 and 2 phrases.
TWENTY_STEPS = """
_base_ = './tiny.py'
train_dataloader = dict(sampler=dict(shuffle=False), dataset=dict(text_mode='original', indices=[0, 2, 1, 3]))
param_scheduler = None
train_cfg = dict(max_epochs=10, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=9, max_keep_ckpts=10))
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

    after = [
        [torch.load(tmp_path / name / f'epoch_{number}.pth', weights_only=True) for number in (1, 2)]
        for name in ('one', 'two')
    ]
    for number, (one, two) in enumerate(zip(*after, strict=True), start=1):
        assert one['meta']['iter'] == two['meta']['iter'] == number
        assert one['state_dict'].keys() == two['state_dict'].keys()
        for key, value in one['state_dict'].items():
            torch.testing.assert_close(two['state_dict'][key], value, rtol=0, atol=1e-6)
    first, second = (each['state_dict'] for each in after[0])
    assert max((second[key] - first[key]).abs().max() for key in first) > 1e-3


def test_twenty_steps_of_two_processes_are_those_of_one(config, tmp_path):
    long_config = config.with_name('long.py')
    long_config.write_text(TWENTY_STEPS)
    options = ['--cfg-options', 'experiment_name=long_one']
    launch(1, tmp_path, 'train', long_config, '--work-dir', tmp_path / 'one', *options)
    options = ['--cfg-options', 'experiment_name=long_two', 'train_dataloader.batch_size=1']
    launch(2, tmp_path, 'train', long_config, '--work-dir', tmp_path / 'two', *options)

    start, one, two = (
        torch.load(tmp_path / path, weights_only=True)
        for path in ('one/epoch_9.pth', 'one/epoch_10.pth', 'two/epoch_10.pth')
    )
    assert one['meta']['iter'] == two['meta']['iter'] == 20
    for key, value in one['state_dict'].items():
        if not key.endswith('k_proj.bias'):  # which changes nothing: Adam makes steps of what was rounded
            torch.testing.assert_close(two['state_dict'][key], value, rtol=0, atol=1e-5)
    assert max((value - start['state_dict'][key]).abs().max() for key, value in one['state_dict'].items()) > 1e-3


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
