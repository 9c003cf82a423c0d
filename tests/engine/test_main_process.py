import pytest
import torch
from mmengine.dist import get_rank
from processes import launch_function

from flmm.engine.main_process import from_main_process


def test_one_process_is_the_main_one():
    assert from_main_process(lambda: 3) == 3


def decide(folder):
    torch.distributed.init_process_group('gloo')
    found = from_main_process(lambda: f'of {get_rank()}')
    with pytest.raises(ValueError, match='no such thing'):
        from_main_process(refuse)
    (folder / str(get_rank())).write_text(found)


def refuse():
    assert get_rank() == 0
    raise OSError('no such thing')


def test_its_word_and_its_errors_reach_the_others(tmp_path):
    launch_function(2, tmp_path, decide, tmp_path)
    assert [(tmp_path / rank).read_text() for rank in '01'] == ['of 0', 'of 0']
