import argparse
import io
import os
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from flmm.convert import read_published

WEIGHTS = OrderedDict({'text_proj.bias': torch.arange(3.0), 'text_layer_weights': torch.zeros(2)})


def written(path, content):
    torch.save(content, path)
    return path


def deepspeed_file():
    """The plain values that DeepSpeed writes beside the weights."""
    return {
        'module': WEIGHTS,
        'buffer_names': [],
        'optimizer': None,
        'param_shapes': [OrderedDict({'text_proj.bias': torch.Size([3])})],
        'frozen_param_shapes': {'llava.x': torch.Size([4096, 4096])},
        'shared_params': {},
        'dp_world_size': 8,
        'ds_config': {'zero_optimization': {'stage': 2}, 'bf16': {'enabled': True}},
        'ds_version': '0.12.6',
        'meta': {'iter': 95080},
    }


@pytest.mark.parametrize(
    'content',
    [WEIGHTS, {'state_dict': WEIGHTS, 'meta': {'epoch': 8}}, deepspeed_file()],
    ids=['bare', 'mmengine', 'deepspeed'],
)
def test_the_weights_come_out_of_what_is_around_them(tmp_path, content):
    weights = read_published(written(tmp_path / 'file.pth', content))
    assert list(weights) == list(WEIGHTS)
    for key, value in WEIGHTS.items():
        assert torch.equal(weights[key], value)


def test_a_submodule_named_module_is_no_wrapper(tmp_path):
    weights = {'module': torch.ones(1), 'module.text_proj.bias': torch.zeros(3)}
    assert read_published(written(tmp_path / 'file.pth', weights)).keys() == weights.keys()


@pytest.mark.parametrize(
    ('extra', 'named'),
    [
        (argparse.Namespace(lr=1e-4), r'argparse\.Namespace'),
        (np.arange(3), r'numpy\S*\.multiarray\._reconstruct, numpy\.dtype, numpy\.ndarray'),
        (OrderedDict, None),
    ],
    ids=['arguments', 'array', 'harmless'],
)
def test_objects_are_named_and_not_made(tmp_path, extra, named):
    path = written(tmp_path / 'with objects.pth', {**deepspeed_file(), 'client_state': extra})
    if named is None:
        assert read_published(path).keys() == WEIGHTS.keys()
        return
    message = rf"'.*with objects\.pth' holds more than tensors and plain values: .*{named}.*\. Nothing of it was run\. "
    with pytest.raises(ValueError, match=message + r'.* weights_only=False\); torch\.save\(content\["state_dict"\]'):
        read_published(path)


class Trap:
    """Would write a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
def test_nothing_in_the_file_runs(tmp_path, new):
    path, mark = tmp_path / 'trap.pth', tmp_path / 'ran'
    torch.save({'state_dict': WEIGHTS, 'trap': Trap(mark)}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=r"(?s)trap\.pth'.* holds more.*open"):
        read_published(path)
    assert not mark.exists()


def test_files_that_are_none(tmp_path):
    (tmp_path / 'text.pth').write_text('Quota exceeded')
    with pytest.raises(ValueError, match=r"text\.pth' cannot be read as plain data"):
        read_published(tmp_path / 'text.pth')
    (tmp_path / 'cut.pth').write_bytes(written(tmp_path / 'whole.pth', WEIGHTS).read_bytes()[:300])
    with pytest.raises(ValueError, match=r"cut\.pth' cannot be read as plain data"):
        read_published(tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match=r"absent\.pth' does not exist"):
        read_published(tmp_path / 'absent.pth')
    os.mkfifo(tmp_path / 'fifo.pth')  # nobody writes into it
    with pytest.raises(ValueError, match=r"fifo\.pth' is no file"):
        read_published(tmp_path / 'fifo.pth')
    with pytest.raises(ValueError, match=r'is a folder; of a DeepSpeed checkpoint .* mp_rank_00_model_states\.pt in'):
        read_published(tmp_path)
    with pytest.raises(ValueError, match=r"numbers\.pth': 3 is no name of a tensor"):
        read_published(written(tmp_path / 'numbers.pth', {3: torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"nested\.pth': 'model' is a OrderedDict, expected a tensor"):
        read_published(written(tmp_path / 'nested.pth', {'model': WEIGHTS}))


@pytest.mark.parametrize('pickled', [b'', b'\x80\x02X\xff', b'\x80\x02U'], ids=['empty', 'no length', 'no text'])
def test_a_crafted_pickle_is_a_plain_error(tmp_path, pickled):
    """What reads the opcodes to name the objects meets any bytes."""
    whole = zipfile.ZipFile(io.BytesIO(written(tmp_path / 'whole.pth', WEIGHTS).read_bytes()))
    with zipfile.ZipFile(tmp_path / 'crafted.pth', 'w') as crafted:
        for name in whole.namelist():
            crafted.writestr(name, pickled if name.endswith('data.pkl') else whole.read(name))
    with pytest.raises(ValueError, match=r'crafted\.pth'):
        read_published(tmp_path / 'crafted.pth')
