import os

import pytest
import torch

from flmm.engine.newest_checkpoint import POINTER, newest_checkpoint, write_pointer

WHOLE = {'state_dict': {'w': torch.zeros(2)}, 'meta': {}, 'message_hub': {}, 'optimizer': {}, 'param_schedulers': []}


@pytest.fixture
def folder(tmp_path):
    """Three whole checkpoints; the second is noted as the newest, the third was written last."""
    for number in (1, 2, 3):
        torch.save(WHOLE, tmp_path / f'epoch_{number}.pth')
        os.utime(tmp_path / f'epoch_{number}.pth', (number, number))
    write_pointer(tmp_path, 'epoch_2.pth')
    return tmp_path


def newest(folder):
    return newest_checkpoint(folder, folder)


def test_the_noted_one_is_taken(folder):
    assert newest(folder) == (str(folder / 'epoch_2.pth'), [])
    assert (folder / POINTER).read_text() == 'epoch_2.pth'


def test_a_path_that_mmengine_noted_is_one_in_this_folder(folder):
    write_pointer(folder, '/another/folder/epoch_1.pth\n')
    assert newest(folder) == (str(folder / 'epoch_1.pth'), [])


@pytest.mark.parametrize('content', ['', '\0\0\0', 'epoch_7.pth', '..'])
def test_without_a_note_the_latest_is_taken(folder, content):
    (folder / POINTER).write_text(content)
    path, passed_over = newest(folder)
    assert path == str(folder / 'epoch_3.pth')
    assert len(passed_over) == (1 if content.strip() else 0)


def test_no_note_at_all(folder):
    (folder / POINTER).unlink()
    assert newest(folder) == (str(folder / 'epoch_3.pth'), [])


def test_damaged_ones_are_passed_over_and_said(folder):
    content = (folder / 'epoch_2.pth').read_bytes()
    (folder / 'epoch_2.pth').write_bytes(content[: len(content) // 2])
    torch.save(WHOLE['state_dict'], folder / 'epoch_3.pth')
    path, passed_over = newest(folder)
    assert path == str(folder / 'epoch_1.pth')
    first, second = passed_over
    assert "epoch_2.pth' cannot be read as plain data" in first
    assert "epoch_3.pth lacks ['meta'," in second


def test_the_best_ones_are_no_runs(folder):
    for number in (1, 2, 3):
        (folder / f'epoch_{number}.pth').rename(folder / f'best_mIoU_epoch_{number}.pth')
    assert newest(folder) == (None, [f"'{folder / POINTER}' names 'epoch_2.pth', which is not in '{folder}'"])


def test_where_none_is_whole_no_run_starts_anew(folder):
    for number in (1, 2, 3):
        (folder / f'epoch_{number}.pth').write_bytes(b'')
    with pytest.raises(ValueError, match=r'from any of the 3 checkpoints in .*epoch_2.*; remove them to start anew'):
        newest(folder)


def test_an_empty_folder(tmp_path):
    assert newest(tmp_path) == (None, [])


def test_remote_checkpoints_are_known_by_the_note_alone(folder):
    assert newest_checkpoint(folder, 's3://bucket/run/') == ('s3://bucket/run/epoch_2.pth', [])
    (folder / POINTER).unlink()
    assert newest_checkpoint(folder, 's3://bucket/run') == (None, [])
