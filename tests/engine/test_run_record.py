import datetime
import hashlib
import json
import platform

import pytest
import transformers

import flmm
from flmm.engine.run_record import run_record


def test_record(tmp_path):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.write_bytes(b'weights')
    record = run_record(config='c.py', cfg_options={'a.b': (1, 'x')}, checkpoint=str(checkpoint))
    assert record['checkpoint_sha256'] == hashlib.sha256(b'weights').hexdigest()
    assert record['versions']['flmm'] == flmm.__version__
    assert record['versions']['python'] == platform.python_version()
    assert record['versions']['transformers'] == transformers.__version__
    date = datetime.datetime.fromisoformat(record['date'])
    assert date.utcoffset() == datetime.timedelta(0)
    assert (record['config'], record['cfg_options']) == ('c.py', {'a.b': (1, 'x')})
    json.dumps(record, allow_nan=False)


def test_nothing_trained():
    record = run_record(config='c.py', cfg_options={}, checkpoint=None)
    assert record['checkpoint'] is record['checkpoint_sha256'] is None


def test_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.pth').write_bytes(b'weights')
    record = run_record(config='c.py', cfg_options={}, checkpoint='~/a.pth')
    assert record['checkpoint_sha256'] == hashlib.sha256(b'weights').hexdigest()


def test_no_such_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint '.*b\.pth' does not exist"):
        run_record(config='c.py', cfg_options={}, checkpoint=str(tmp_path / 'b.pth'))
