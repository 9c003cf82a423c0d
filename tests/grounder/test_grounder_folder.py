"""The folder of a grounder may be a stranger's: what does not fit is refused by name, and nothing else is done."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved_grounders import build, saved_config
from tiny_families import TINY

from flmm import Grounder

pytestmark = pytest.mark.usefixtures('on_one_thread')

CONFIG = 'config.json'


@pytest.fixture(scope='module')
def saved(frozen, tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved') / 'grounder'
    build(saved_config(frozen)).save_pretrained(folder, include_frozen=True)
    return folder


@pytest.fixture
def changed(saved, tmp_path):
    """Copy a saved grounder, and change its config.json."""

    def change(*keys, value=None, remove=False):
        shutil.copytree(saved, tmp_path / 'copy')
        path = tmp_path / 'copy' / CONFIG
        document = node = json.loads(path.read_text())
        for key in keys[:-1]:
            node = node[key]
        if remove:
            del node[keys[-1]]
        else:
            node[keys[-1]] = value
        path.write_text(json.dumps(document))
        return path.parent

    return change


SAM = ('model', 'sam', 'sam')
LMM = ('model', 'lmm')
PROCESSOR = ('to_sample', 'image_processor')
REFUSED = {
    'version': (('format_version',), 2, r'has format_version 2, and flmm \S+ reads 1; expected a grounder'),
    'version true': (('format_version',), True, 'has format_version True'),
    'more': (('extra',), 1, r"has the keys \[.*'extra'.*\], expected"),
    'parts': (('frozen_parts',), [], r'frozen_parts is \[\], expected an object of texts'),
    'no part': (('frozen_parts',), {'LMM': 'x'}, r"frozen_parts has \['LMM'\], expected \['LMM', 'attention"),
    'unknown part': (('frozen_parts', 'x'), 'y', r"frozen_parts has \[.*'x'\], expected \['LMM', 'attention of coarse"),
    'reading': (('frozen_parts', 'merge of tokens'), 'max', r'another merge of tokens \(max\) than was found \(mean'),
    'coarse': (('model', 'coarse_attention'), 'copy', r'attention of coarse tokens \(spread\) than was found \(copy'),
    'model': (('model',), 'x', r"config\.json': model is 'x', expected an object with a type\. It was saved by flmm"),
    'type': (('model', 'type'), 'os.system', r"model\.type is 'os\.system', expected one of FrozenDeepseekVLSAM, Froz"),
    'type of mmdet': (('model', 'mask_head', 'type'), 'mmdet.UNetHead', "is 'mmdet.UNetHead', expected one of"),
    'type of torch': (('model', 'mask_head', 'type'), 'torch.nn.Linear', r"mask_head\.type is 'torch\.nn\.Linear'"),
    'no type': (('model', 'mask_head', 'type'), None, r'mask_head\.type is None, expected one of'),
    'type in a list': (('model', 'mask_head', 'type'), ['UNetHead'], r"mask_head\.type is \['UNetHead'\], expected"),
    'scope': (('model', '_scope_'), 'os', r'model\._scope_ is no known setting; FrozenQwenSAM has coarse_attention'),
    'imports': (('model', 'custom_imports'), {}, r'model\.custom_imports is no known setting'),
    'loss': (('model', 'loss_mask'), {'type': 'x'}, r'model\.loss_mask is no known setting'),
    'masks': (('model', 'trained_masks'), '/etc/passwd', r'model\.trained_masks is no known setting'),
    'text': (('model', 'merge'), 1, r'model\.merge is 1, expected text'),
    'value': (('model', 'merge'), 'sum', r"cannot be built: .*merge is 'sum', expected 'mean' or 'max'"),
    'flag': (('model', 'sam', 'use_text'), 1, r'model\.sam\.use_text is 1, expected true or false'),
    'number': (('model', 'mask_head', 'base_channels'), 4.5, r'base_channels is 4\.5, expected a whole number'),
    'a flag for a number': (('model', 'mask_head', 'base_channels'), True, 'base_channels is True, expected a whole'),
    'stages': (('model', 'mask_head', 'num_stages'), -3, 'config.json. describes cannot be built'),
    'heads': ((*SAM, 'encoder_num_heads'), 0, 'config.json. describes cannot be built'),
    'list': (('model', 'heads'), [[0, {'type': 'x'}]], r"heads\[0\]\[1\] is \{'type': 'x'\}, expected a whole"),
    'deep list': (('model', 'heads'), json.loads('[' * 900 + ']' * 900), r'\[0\]\[0\] is .*expected a whole number or'),
    'lmm as text': ((*LMM, 'name_or_path'), '/etc', r"lmm\.name_or_path is '/etc', expected an object with"),
    'absolute': ((*LMM, 'name_or_path'), {'folder': '/etc'}, r"name_or_path\.folder is '/etc', expected the name of"),
    'up': ((*LMM, 'name_or_path'), {'folder': '../lmm'}, r"folder is '\.\./lmm', expected .* without '\.\.'"),
    'up in the middle': ((*SAM, 'checkpoint'), {'folder': 'lmm/../../x'}, r"folder is 'lmm/\.\./\.\./x', expected"),
    'drive': ((*SAM, 'checkpoint'), {'folder': 'C:\\x'}, 'expected the name of what lies beside'),
    'hub path': ((*LMM, 'name_or_path'), {'hub': '../../etc'}, r"hub is '\.\./\.\./etc', expected owner/name"),
    'revision': ((*LMM, 'name_or_path'), {'hub': 'a/b', 'revision': 'main'}, "revision is 'main', expected the 40 dig"),
    'two ways': ((*LMM, 'name_or_path'), {'hub': 'a/b', 'folder': 'lmm'}, "expected an object with one of 'hub'"),
    'another way': ((*LMM, 'name_or_path'), {'path': 'lmm'}, r"has \['path'\], expected one of 'hub' \(with"),
    'elsewhere': ((*LMM, 'name_or_path'), {'elsewhere': 'my'}, r"has 'my' for model\.lmm\.name_or_path, a .* lmm='"),
    'sam elsewhere': ((*SAM, 'checkpoint'), {'elsewhere': 's.pth'}, r"sam_checkpoint='\.\.\.'"),
    'absent': ((*SAM, 'checkpoint'), {'folder': 'other.safetensors'}, r"has no other\.safetensors; expected the"),
    'not SAM': ((*SAM, 'checkpoint'), {'folder': 'model.safetensors'}, r'does not fit \w+: .* missing'),
    'code': ((*PROCESSOR, 'trust_remote_code'), True, r'image_processor\.trust_remote_code is no known setting'),
    'dtype': ((*LMM, 'dtype'), 'load', "dtype is 'load', expected the name of a torch dtype"),
    'prompt': (('to_sample', 'prompt'), None, r'to_sample\.prompt is None, expected text'),
    'split': (('to_sample', 'concat'), False, r'to_sample\.concat is no known setting'),
}  # fmt: skip


@pytest.mark.parametrize(('keys', 'value', 'message'), REFUSED.values(), ids=REFUSED)
def test_a_config_of_a_stranger_does_nothing_else(keys, value, message, changed):
    with pytest.raises(ValueError, match=message):
        Grounder.from_pretrained(changed(*keys, value=value))


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (('frozen_parts',), r"has the keys \['flmm_version', .*\], expected .*; save it again"),
        (('format_version',), 'has format_version None'),
        (('model', 'lmm'), 'model lacks lmm'),
        ((*SAM, 'checkpoint'), r'model\.sam\.sam lacks checkpoint'),
        (('to_sample', 'image_processor'), 'to_sample lacks image_processor'),
        (('to_sample', 'prompt'), "cannot be built: .*missing 1 required keyword-only argument: 'prompt'"),
    ],
)
def test_what_a_config_lacks_is_named(keys, message, changed):
    with pytest.raises(ValueError, match=message):
        Grounder.from_pretrained(changed(*keys, remove=True))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[]', r"config\.json' holds \[\], expected an object"),
        ('{', r"the config of a grounder '.*config\.json' is not JSON"),
        ('{"a": NaN}', 'is not JSON'),
        ('{"model": 1, "model": 2}', "has an object with the key 'model' twice"),
    ],
)
def test_a_config_that_is_no_object(text, message, saved, tmp_path):
    shutil.copytree(saved, tmp_path / 'copy')
    (tmp_path / 'copy' / CONFIG).write_text(text)
    with pytest.raises(ValueError, match=message):
        Grounder.from_pretrained(tmp_path / 'copy')


def test_other_frozen_parts_are_refused(saved, frozen, tmp_path):
    other = tmp_path / 'other'
    TINY['qwen2_5_vl'].lmm('qwen2_5_vl', layers=2, seed=9).save_pretrained(other)
    TINY['qwen2_5_vl'].processor('qwen2_5_vl').save_pretrained(other)
    with pytest.raises(ValueError, match=r"over another LMM \(\w+.*\) than was found \(\w+.*\); name its own by lmm='"):
        Grounder.from_pretrained(saved, lmm=str(other))
    sam = load_file(frozen / 'sam.safetensors')
    save_file({name: value + 1 for name, value in sam.items()}, tmp_path / 'sam.safetensors')
    with pytest.raises(ValueError, match='over another image encoder of SAM'):
        Grounder.from_pretrained(saved, sam_checkpoint=str(tmp_path / 'sam.safetensors'))
    with pytest.raises(ValueError, match=r"folder 'nowhere' does not exist"):
        Grounder.from_pretrained(saved, lmm='nowhere')


@pytest.mark.parametrize('coarse_attention', ['spread', 'copy'])
def test_a_grounder_from_before_coarse_attention_was_compared_is_read(coarse_attention, frozen, tmp_path):
    grounder = build(saved_config(frozen, coarse_attention=coarse_attention))
    grounder.save_pretrained(tmp_path / 'saved', include_frozen=True)
    path = tmp_path / 'saved' / CONFIG
    document = json.loads(path.read_text())
    assert document['frozen_parts'].pop('attention of coarse tokens') == coarse_attention
    path.write_text(json.dumps(document))
    weights = load_file(path.with_name('model.safetensors'))
    metadata = {'frozen_parts': json.dumps(document['frozen_parts'])}
    save_file(weights, path.with_name('model.safetensors'), metadata=metadata)
    assert Grounder.from_pretrained(tmp_path / 'saved').model.coarse_attention == coarse_attention


def test_a_trained_part_that_does_not_fit_is_refused(saved, tmp_path):
    folder = tmp_path / 'copy'
    shutil.copytree(saved, folder)
    path = folder / 'model.safetensors'
    weights = load_file(path)
    key = 'mask_head.conv_seg.weight'

    save_file({name: value for name, value in weights.items() if name != key}, path)
    with pytest.raises(ValueError, match=rf"does not hold this model's trainable part: 1 missing: {key}"):
        Grounder.from_pretrained(folder)
    save_file({**weights, 'lmm.extra': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r'1 unexpected: lmm\.extra'):
        Grounder.from_pretrained(folder)
    save_file({**weights, key: weights[key][:, :2].contiguous()}, path)
    with pytest.raises(ValueError, match=rf'1 of another shape: {key} has \(1, 2, 1, 1\), the model \(1, 4, 1, 1\)'):
        Grounder.from_pretrained(folder)
    save_file(weights, path, metadata={'frozen_parts': json.dumps({'LMM': '0' * 16})})
    with pytest.raises(ValueError, match=r'the checkpoint was trained over another LMM \(0000000000000000\)'):
        Grounder.from_pretrained(folder)
    path.write_bytes(b'\x80\x04pickle')
    with pytest.raises(ValueError, match=r"checkpoint '.*model\.safetensors' cannot be read as plain data"):
        Grounder.from_pretrained(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"copy' has no model\.safetensors; expected the folder of a grounder that"):
        Grounder.from_pretrained(folder)


def test_folders_that_are_none(saved, tmp_path):
    for name, message in (
        (tmp_path, r'has no config\.json; expected the folder of a grounder'),
        (saved / CONFIG, r"config\.json' is a file, expected the folder of a grounder, or a name on the hub"),
        (tmp_path / 'nowhere', 'does not exist'),
        ('nowhere', "folder 'nowhere' does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            Grounder.from_pretrained(name)
    with pytest.raises(ValueError, match=r"revision is 'main', but '.*' is a folder here; leave it out"):
        Grounder.from_pretrained(saved, revision='main')


def test_links_and_pipes_are_refused(saved, frozen, tmp_path):
    folder = tmp_path / 'copy'
    shutil.copytree(saved, folder)
    (folder / 'sam.safetensors').unlink()
    (folder / 'sam.safetensors').symlink_to(frozen / 'sam.safetensors')
    with pytest.raises(ValueError, match=r"sam\.safetensors' leads out of '.*copy'; put the file itself there"):
        Grounder.from_pretrained(folder)
    (folder / 'sam.safetensors').unlink()
    os.mkfifo(folder / 'sam.safetensors')
    with pytest.raises(ValueError, match=r"sam\.safetensors' is no regular file; remove it"):
        Grounder.from_pretrained(folder)
    shutil.copy(saved / 'sam.safetensors', tmp_path / 'sam')
    (folder / 'sam.safetensors').unlink()
    (folder / 'lmm' / 'tokenizer.json').unlink()
    (folder / 'lmm' / 'tokenizer.json').symlink_to(frozen / 'lmm' / 'tokenizer.json')
    with pytest.raises(ValueError, match=r"tokenizer\.json' leads out of"):
        Grounder.from_pretrained(folder)
