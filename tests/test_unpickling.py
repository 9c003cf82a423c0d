import collections
import pickle

import pytest
import torch

from flmm.unpickling import refusal_reason


def test_of_torchs_page_the_reason_is_taken(tmp_path):
    torch.save({'a': collections.UserDict()}, tmp_path / 'a.pth')
    with pytest.raises(pickle.UnpicklingError) as raised:
        torch.load(tmp_path / 'a.pth', weights_only=True)
    assert 'trust' in str(raised.value)
    assert refusal_reason(raised.value) == 'it asks for collections.UserDict'


def test_a_file_that_is_no_pickle(tmp_path):
    (tmp_path / 'a.pth').write_bytes(bytes(5000))
    with pytest.raises(RuntimeError) as raised:
        torch.load(tmp_path / 'a.pth', weights_only=True)
    assert 'will likely succeed' in str(raised.value)
    assert refusal_reason(raised.value) == 'Cannot use ``weights_only=True`` with files saved in the legacy .tar format'


def test_other_errors_stay_as_they_are():
    assert refusal_reason(OSError(5, 'Input/output error')) == '[Errno 5] Input/output error'
