"""A data loader's worker that is killed, as the kernel does it for memory, or hangs: the run ends and names it."""

import os
import re
import signal
import sys
import time

import pytest
from mmcv.transforms import BaseTransform
from processes import exit_codes, start_function
from tiny_refcoco import run_tool

from flmm.registry import TRANSFORMS

FAULTY = """
_base_ = {base!r}
pipeline = [dict(type='FaultyWorker', how={how!r}), *_base_.pipeline]
train_dataloader = dict(
    batch_size=1, num_workers=1, timeout={timeout}, dataset=dict(pipeline=pipeline, max_skipped=0.5)
)
"""


@TRANSFORMS.register_module()
class FaultyWorker(BaseTransform):
    """The worker that reads the second picture is killed, or sleeps."""

    def __init__(self, how):
        self.how = how

    def transform(self, results):
        if results['img_path'].endswith('2.png'):
            if self.how == 'is killed':
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return results


def train_faulty(config, folder):
    log = os.open(folder / 'printed.txt', os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 2)
    sys.stderr = os.fdopen(2, 'w')
    run_tool('train', config, '--work-dir', folder)


@pytest.mark.parametrize(
    ('how', 'timeout', 'message'),
    [
        ('is killed', 0, r'RuntimeError: DataLoader worker \(pid(\(s\))? \d+\) (is killed by signal: Kil|exited)'),
        pytest.param('hangs', 2, r'RuntimeError: DataLoader timed out after 2 s', marks=pytest.mark.slow),
    ],
)
def test_the_run_ends(config, tmp_path, how, timeout, message):
    path = tmp_path / 'faulty.py'
    path.write_text(FAULTY.format(base=str(config), how=how, timeout=timeout))
    start = time.monotonic()
    assert exit_codes(start_function(1, tmp_path, train_faulty, path, tmp_path), timeout=100) == [1]
    assert time.monotonic() - start < 60
    said = (tmp_path / 'printed.txt').read_text()
    assert re.search(message, said), said
    assert not list(tmp_path.glob('*.pth'))
