"""Loading by folder or hub name: no code of a checkpoint runs, and no mistyped folder goes to the hub."""

import builtins
import contextlib
import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import FAMILIES, tiny_lmm, tiny_processor
from transformers import AutoProcessor, Qwen2_5_VLProcessor

from flmm.datasets import QwenImageProcessorWrapper
from flmm.models import pretrained_lmm, random_lmm
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.pretrained import lmm_from_config, load_lmm, load_lmm_config, load_processor, load_video_sam


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved') / 'tiny_lmm'
    tiny_lmm().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / 'assets' / 'demo_lmm'))


@pytest.fixture
def asked(monkeypatch):
    """Answers 'y' to every question and counts them."""
    questions = []
    monkeypatch.setattr(builtins, 'input', lambda text='': questions.append(text) or 'y')
    return questions


def edit_json(path, change):
    content = json.loads(path.read_text()) if path.exists() else {}
    change(content)
    path.write_text(json.dumps(content))


# --- code that a checkpoint brings along

AUTO_CLASSES = {
    'config.json': ('AutoConfig', 'AutoModel', 'AutoModelForImageTextToText', 'AutoProcessor'),
    'tokenizer_config.json': ('AutoTokenizer', 'AutoProcessor'),
    'processor_config.json': ('AutoProcessor', 'AutoImageProcessor', 'AutoVideoProcessor', 'AutoTokenizer'),
    'preprocessor_config.json': ('AutoImageProcessor', 'AutoProcessor', 'AutoFeatureExtractor'),
    'video_preprocessor_config.json': ('AutoVideoProcessor', 'AutoProcessor'),
}
"""The files that may name code, each with what is loaded by it."""


def plant_code(folder, file, *, known_classes):
    """Let ``file`` name code that leaves a marker; without ``known_classes`` nothing else says what to load."""
    (folder / 'evil.py').write_text(f'open({str(folder / "marker")!r}, "w").close()\nclass Evil: pass\n')
    names = AUTO_CLASSES[file]
    auto_map = {name: [None, 'evil.Evil'] if name == 'AutoTokenizer' else 'evil.Evil' for name in names}

    def change(content):
        content['auto_map'] = auto_map
        for nested in (content.get('image_processor'), content.get('video_processor')):
            if nested is not None:
                nested['auto_map'] = auto_map
        if not known_classes:
            for nested in (content, content.get('image_processor', {}), content.get('video_processor', {})):
                for key in ('processor_class', 'tokenizer_class', 'image_processor_type', 'video_processor_type'):
                    nested.pop(key, None)

    edit_json(folder / file, change)
    if not known_classes:
        for other in AUTO_CLASSES:
            if (folder / other).exists():
                edit_json(folder / other, lambda content: content.pop('processor_class', None))


def plant_code_alone(folder, *, model_type, processor_class):
    """Plant code in all files; the config says nothing but ``model_type``, or is missing where that is None."""
    for file in AUTO_CLASSES:
        plant_code(folder, file, known_classes=False)
    (folder / 'config.json').write_text(json.dumps({'model_type': model_type, 'auto_map': {'AutoConfig': 'evil.Evil'}}))
    if model_type is None:
        (folder / 'config.json').unlink()
    for file in ('processor_config.json', 'tokenizer_config.json'):
        edit_json(folder / file, lambda content: content.update(processor_class=processor_class))


LOADERS = {
    'load_processor': load_processor,
    'load_lmm_config': load_lmm_config,
    'load_lmm': lambda folder: load_lmm(folder, dtype=torch.float32),
    'load_video_sam': load_video_sam,
    'pretrained_lmm': lambda folder: pretrained_lmm(name_or_path=str(folder)),
    'random_lmm': lambda folder: random_lmm(name_or_path=str(folder)),
    'LMMWithoutWeights': lambda folder: LMMWithoutWeights(name_or_path=str(folder)),
    'wrapper': lambda folder: QwenImageProcessorWrapper(pretrained_model_name_or_path=folder),
}


@pytest.mark.parametrize('known_classes', [True, False])
@pytest.mark.parametrize('file', AUTO_CLASSES)
@pytest.mark.parametrize('loader', LOADERS)
def test_code_is_neither_run_nor_asked_for(checkpoint, asked, loader, file, known_classes):
    plant_code(checkpoint, file, known_classes=known_classes)
    try:
        LOADERS[loader](checkpoint)
    except ValueError as error:
        assert str(checkpoint) in str(error)  # noqa: PT017 (it may load, too)
    assert asked == []
    assert not (checkpoint / 'marker').exists()


@pytest.mark.parametrize('chosen', ['evil/kernel', 'kernels-community/flash-attn', 'eager', 'flash_attention_2'])
@pytest.mark.parametrize('key', ['_attn_implementation', 'attn_implementation', '_attn_implementation_internal'])
@pytest.mark.parametrize('part', [None, 'text_config', 'vision_config'])
def test_the_attention_is_never_the_choice_of_the_checkpoint(checkpoint, part, key, chosen):
    edit_json(checkpoint / 'config.json', lambda content: (content[part] if part else content).update({key: chosen}))
    for model in (
        load_lmm(checkpoint, dtype=torch.float32),
        lmm_from_config(load_lmm_config(checkpoint), dtype=torch.float32),
    ):
        for config in (model.config, model.config.text_config, model.config.vision_config):
            assert config._attn_implementation == 'sdpa'


@pytest.mark.parametrize('model_type', ['evil', None])
@pytest.mark.parametrize('loader', LOADERS)
def test_a_checkpoint_that_needs_code_is_refused(checkpoint, asked, loader, model_type):
    plant_code_alone(checkpoint, model_type=model_type, processor_class=None)
    with pytest.raises(ValueError, match=str(checkpoint)):
        LOADERS[loader](checkpoint)
    assert asked == []
    assert not (checkpoint / 'marker').exists()


@pytest.mark.parametrize('processor_class', ['Qwen2_5_VLProcessor', 'Evil', None])
@pytest.mark.parametrize('model_type', ['qwen2', 'llava', 'chameleon'])
def test_a_processor_beside_a_model_of_another_type(checkpoint, asked, model_type, processor_class):
    """AutoProcessor asks for most of these by default, and for chameleon even with trust_remote_code=False."""
    plant_code_alone(checkpoint, model_type=model_type, processor_class=processor_class)
    with contextlib.suppress(ValueError):  # transformers has all it needs for some
        load_processor(checkpoint)
    assert asked == []
    assert not (checkpoint / 'marker').exists()


@pytest.mark.parametrize('loader', ['load_lmm', 'pretrained_lmm', 'random_lmm'])
def test_a_model_of_a_known_type_that_is_no_lmm(checkpoint, asked, loader):
    """transformers knows its config, and would take the LMM from the checkpoint's code."""
    plant_code(checkpoint, 'config.json', known_classes=True)
    edit_json(checkpoint / 'config.json', lambda config: config.update(model_type='qwen2'))
    with pytest.raises(ValueError, match=str(checkpoint)):
        LOADERS[loader](checkpoint)
    assert asked == []
    assert not (checkpoint / 'marker').exists()


def test_the_error_says_that_code_is_never_run(checkpoint, asked):
    plant_code(checkpoint, 'config.json', known_classes=False)
    edit_json(checkpoint / 'config.json', lambda config: config.update(model_type='evil'))
    for loader in (load_processor, load_lmm_config, LOADERS['load_lmm']):
        with pytest.raises(
            ValueError, match=rf"'{checkpoint}' cannot be loaded; code that a checkpoint brings along is"
        ):
            loader(checkpoint)
    assert asked == []


# --- folders and hub names


@pytest.mark.parametrize('family', FAMILIES)
def test_what_was_saved_comes_back(family, tmp_path):
    processor, lmm = tiny_processor(family), tiny_lmm(family)
    processor.save_pretrained(tmp_path / 'processor')
    lmm.save_pretrained(tmp_path / 'lmm')
    loaded = load_processor(tmp_path / 'processor')
    assert type(loaded) is type(processor) is type(AutoProcessor.from_pretrained(tmp_path / 'processor'))
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert load_lmm_config(str(tmp_path / 'lmm')).to_diff_dict() == lmm.config.to_diff_dict()
    assert load_lmm(tmp_path / 'lmm', dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_processor_without_its_class_in_any_file(checkpoint):
    for file in ('processor_config.json', 'tokenizer_config.json'):
        edit_json(checkpoint / file, lambda content: content.pop('processor_class'))
    assert type(load_processor(checkpoint)) is Qwen2_5_VLProcessor


def test_the_home_folder(checkpoint, monkeypatch):
    monkeypatch.setenv('HOME', str(checkpoint.parent))
    assert load_lmm_config('~/demo_lmm').model_type == 'qwen2_5_vl'
    with pytest.raises(ValueError, match=rf"folder '~/demo_lmn' does not exist.*'{checkpoint}' does"):
        load_lmm_config('~/demo_lmn')


@pytest.fixture
def _no_hub(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('the hub was asked')

    monkeypatch.setattr('socket.socket.connect', refuse)
    monkeypatch.setattr('socket.getaddrinfo', refuse)


@pytest.mark.usefixtures('_no_hub')
@pytest.mark.parametrize('loader', LOADERS)
@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('assets/demo_lmn', 'assets/demo_lmm'),
        ('./assets/demo_lmn', 'assets/demo_lmm'),
        ('./asets/demo_lmm', 'assets'),
        ('asets/demo_lmm/', 'assets'),
        ('../{cwd}/assets/demo_lm', 'assets/demo_lmm'),
        ('{tmp}/assets/demo_llm', 'assets/demo_lmm'),
        ('assets/demo_lmm/epoch', None),
        ('assets/demo_lmm/x/y', None),
        ('asset', 'assets'),
        ('no_such_folder', None),
        ('work_dirs/sft/checkpoint-500', None),
        ('assets\\demo_lmm', None),
        ('', None),
    ],
)
def test_a_mistyped_folder_is_never_taken_for_a_hub_name(checkpoint, tmp_path, monkeypatch, loader, name, nearest):
    monkeypatch.chdir(tmp_path)
    name = name.format(tmp=tmp_path, cwd=tmp_path.name)
    with pytest.raises(ValueError, match=re.escape(repr(name))) as raised:
        LOADERS[loader](name)
    message = str(raised.value)
    if name:
        assert 'does not exist (looked for at ' in message
        assert str(tmp_path) in message
    if nearest:
        assert f'{str(tmp_path / nearest)!r} does' in message


@pytest.mark.parametrize('loader', LOADERS)
def test_a_hub_name_that_the_hub_does_not_give(tmp_path, monkeypatch, loader):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    (tmp_path / 'assets').mkdir()
    with pytest.raises(
        ValueError, match=r"'asets/tiny' is no folder here \(looked for at '.*asets/tiny'; '.*/assets' "
    ) as e:
        LOADERS[loader]('asets/tiny')
    assert 'the hub could not give a checkpoint of that name' in str(e.value)
    assert isinstance(e.value.__cause__, OSError)


@pytest.mark.parametrize('loader', LOADERS)
def test_folders_without_a_checkpoint_and_files(tmp_path, loader):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('{}')
    with pytest.raises(ValueError, match=r"folder '.*empty' has no .*config\.json.*; expected a checkpoint"):
        LOADERS[loader](tmp_path / 'empty')
    with pytest.raises(ValueError, match=r"'.*file' is a file, expected the folder of a checkpoint"):
        LOADERS[loader](tmp_path / 'file')


@pytest.mark.parametrize('loader', [name for name in LOADERS if name not in ('load_processor', 'wrapper')])
@pytest.mark.parametrize('content', ['{', '[]', '{}', '{"model_type": "none_such"}'])
def test_a_broken_config_names_the_folder(checkpoint, loader, content):
    (checkpoint / 'config.json').write_text(content)
    with pytest.raises(ValueError, match=rf"folder '{checkpoint}' cannot be loaded"):
        LOADERS[loader](checkpoint)


def test_a_tokenizer_alone_is_no_processor(tmp_path):
    tiny_processor().tokenizer.save_pretrained(tmp_path)
    edit_json(tmp_path / 'tokenizer_config.json', lambda content: content.pop('processor_class', None))
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_processor(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec('flash_attn') is not None, reason='FlashAttention is installed')
def test_a_kernel_of_attention_that_is_not_installed(checkpoint):
    with pytest.raises(
        ValueError, match=rf"folder '{checkpoint}' cannot be loaded \(FlashAttention2 has been toggled on"
    ):
        load_lmm(checkpoint, dtype=torch.float32, attn_implementation='flash_attention_2')
