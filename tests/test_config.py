"""Reading configs: keys, overrides, YAML, weights above the config."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from flmm.config import check_config_keys, find_checkpoints, mappings_in, read_config
from flmm.pretrained import load_lmm_config

REPOSITORY = Path(__file__).parents[1]
DEMO = REPOSITORY / 'configs' / 'shapes' / 'demo.py'
CONFIGS = sorted((REPOSITORY / 'configs').glob('[!_]*/*.py'))


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('modle.x', r"no 'modle' \(did you mean 'model'\?\)"),
        ('model.mask_hed.base_channels', r"no 'model\.mask_hed' \(did you mean 'model\.mask_head'\?\)"),
        (
            'model.mask_head.base_chanels',
            r"no 'model\.mask_head\.base_chanels' \(did you mean 'model\.mask_head\.base_channels'",
        ),
        ('lr', r"no 'lr' \(did you mean 'optim_wrapper\.optimizer\.lr'\?\)"),
        ('max_epochs', r"no 'max_epochs' \(did you mean 'train_cfg\.max_epochs'\?\)"),
        ('loading.2.type', r"no 'loading\.2' \(did you mean '.*type'\?\)"),
        ('loading.first.type', r"no 'loading\.first'"),
        ('train_cfg.max_epochs.x', r"no 'train_cfg\.max_epochs\.x'"),
        ('train_cfg.by_epoc', r"no 'train_cfg\.by_epoc' \(did you mean 'train_cfg\.by_epoch'\?\)"),
        ('zzz', r"no 'zzz', so it would have no effect; a new key is added by \+zzz="),
    ],
)
def test_overrides_of_nothing_are_refused(key, message):
    with pytest.raises(ValueError, match=rf"override '{key}': the config has {message}"):
        read_config(DEMO, {key: 3})


def test_overrides():
    overrides = {
        'train_cfg.max_epochs': 10,
        'test_dataloader.dataset.pipeline.2.prompt': 'X',
        'load_from': 'w.pth',  # of mmengine, not in the config
        'resume': True,
        '+model.heads': [(3, 0)],
        '+own.value': 'v',
    }
    config = read_config(DEMO, overrides)
    assert config.train_cfg.max_epochs == 10
    assert config.test_dataloader.dataset.pipeline[2].prompt == 'X'
    assert config.to_sample.prompt == 'Locate the shapes.'
    assert (config.load_from, config.resume, config.own.value) == ('w.pth', True, 'v')
    assert config.model.heads == [(3, 0)]
    assert config.model.lmm.type == 'pretrained_lmm'  # the rest stays


@pytest.mark.parametrize(
    ('key', 'where'),
    [
        (
            'to_sample.prompt',
            r'override train_dataloader\.dataset\.pipeline\.2\.prompt, val_data\S*\.2\.prompt, test_data\S*prompt$',
        ),
        ('image_processor.blur', r'override train_dataloader\.dataset\.pipeline\.2\.image_processor\.blur, val_data'),
        ('lmm.dtype', r'override model\.lmm\.dtype'),
        ('loading.0.type', 'override what is made of it$'),
        ('shapes.data_root', r'override train_dataloader\.dataset\.data_root, val_dataloader\.dataset\.data_root, t'),
        ('frozen_lmm', 'override what is made of it$'),
        (
            '+image_processor.alpha',
            r'override \+train_dataloader\.dataset\.pipeline\.2\.image_processor\.alpha, \+val_dataloader\.data',
        ),
        ('+lmm.seed', r'override \+model\.lmm\.seed$'),
        ('+frozen_lmm', 'override what is made of it$'),
    ],
)
def test_overrides_of_variables_are_refused(key, where):
    """mmengine puts their values in place while it reads the file: an override comes too late."""
    name = key.removeprefix('+').split('.')[0]
    message = rf"override '{re.escape(key)}': '{name}' is a variable of the config, .*{where}"
    with pytest.raises(ValueError, match=message):
        read_config(DEMO, {key: 'x'})


def test_an_added_key_may_not_be_a_misspelt_one():
    with pytest.raises(ValueError, match=r"'train_dataloder' \(did you mean 'train_dataloader'\?\)"):
        read_config(DEMO, {'+train_dataloder.x': 1})


TAG = '!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{marker}]]'


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('evil.yaml', None),
        ('config.yml', '_base_: ./evil.yaml\nlr: 1\n'),
        ('config.json', '{"_base_": "./evil.yaml", "lr": 1}'),
        ('config.py', '_base_ = ["./evil.yaml"]\n'),
        ('config.yaml', '_base_: "{{ fileDirname }}/evil.yaml"\n'),
        ('config.yaml', '_base_: ./between.py\n'),
        ('config.yaml', "model: {{'$NOT_SET:!!python/name:pathlib.Path'}}\n"),
    ],
    ids=['itself', 'YAML', 'JSON', 'Python', 'template', 'two steps', 'environment'],
)
def test_tags_of_yaml_are_refused(tmp_path, name, text):
    """mmengine's loader makes any object that they name, in whichever file of a chain they stand."""
    (tmp_path / 'evil.yaml').write_text('model: ' + TAG.format(marker=tmp_path / 'marker'))
    (tmp_path / 'between.py').write_text("_base_ = './evil.yaml'\n")
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(
        ValueError,
        match=rf"(?s)config '.*{name}', or one that it is based on, is no plain YAML .*python/.*write values without",
    ):
        read_config(tmp_path / name)
    assert not (tmp_path / 'marker').exists()


def test_yaml_may_use_the_variables_of_mmengine(tmp_path):
    (tmp_path / 'base.yaml').write_text('lmm: &lmm\n  depth: 3\nother: *lmm\n')
    (tmp_path / 'config.yaml').write_text(
        '_base_: base.yaml\nmodel: {{_base_.lmm}}\nname: {{ fileBasenameNoExtension }}\nnumber: {{$NOT_SET:80}}\n'
    )
    config = read_config(tmp_path / 'config.yaml')
    assert config.model.to_dict() == config.other.to_dict() == {'depth': 3}
    assert (config.name, config.number) == ('config', 80)


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('+train_dataloader.dataset.pipeline.9.type', 'Index 9 exceeds the length of list'),
        ('+train_cfg.max_epochs.x', 'max_epochs=.* cannot inherit from base'),
        ('model.sam.sam.encoder_global_attn_indexes.0', 'encoder_global_attn_indexes=.* cannot inherit from base'),
    ],
)
def test_overrides_that_do_not_fit(key, message):
    with pytest.raises(ValueError, match=rf"(?s)overrides \['{re.escape(key)}'\] do not fit the config: .*{message}"):
        read_config(DEMO, {key: 1})


def test_plain_yaml_and_json(tmp_path):
    (tmp_path / 'base.yaml').write_text('model:\n  width: 1\n')
    (tmp_path / 'config.yaml').write_text('_base_: [base.yaml]\nmodel:\n  depth: [1, 2]\n')
    (tmp_path / 'config.json').write_text('{"model": {"width": 3}}')
    assert read_config(tmp_path / 'config.yaml').model.to_dict() == {'width': 1, 'depth': [1, 2]}
    assert read_config(tmp_path / 'config.json', {'model.width': 4}).model.width == 4


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"config '.*absent\.py' does not exist"):
        read_config(tmp_path / 'absent.py')


def test_weights_are_found_above_the_config(tmp_path, monkeypatch):
    (tmp_path / 'repo' / 'configs' / 'here').mkdir(parents=True)
    (tmp_path / 'repo' / 'weights').mkdir()
    (tmp_path / 'repo' / 'weights' / 'sam.pth').touch()
    elsewhere = tmp_path / 'elsewhere'
    (elsewhere / 'lmm').mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    settings = {
        'model': {'sam': {'checkpoint': 'weights/sam.pth'}, 'lmm': {'name_or_path': 'lmm'}},
        'parts': [{'pretrained_model_name_or_path': 'Qwen/Qwen2.5-VL-3B-Instruct', 'checkpoint': None}],
    }
    config = Config(settings)
    find_checkpoints(config, tmp_path / 'repo' / 'configs' / 'here' / 'config.py')
    assert config.model.sam.checkpoint == str(tmp_path / 'repo' / 'weights' / 'sam.pth')
    assert config.model.lmm.name_or_path == 'lmm'  # the working directory comes first
    assert config.parts[0].to_dict() == settings['parts'][0]


def test_a_misspelt_folder_of_the_repository_is_no_name_on_the_hub(tmp_path, monkeypatch):
    """From another working directory, too, where no folder has the name of the owner."""
    repository, elsewhere = tmp_path / 'repo', tmp_path / 'elsewhere'
    for folder in (repository / 'configs' / 'here', repository / 'assets' / 'demo_lmm', elsewhere, tmp_path / 'Qwen'):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    config = Config(
        {'model': {'lmm': {'name_or_path': 'assets/demo_lmn'}}, 'name_or_path': 'Qwen/Qwen2-VL-2B-Instruct'}
    )
    find_checkpoints(config, repository / 'configs' / 'here' / 'config.py')
    assert config.name_or_path == 'Qwen/Qwen2-VL-2B-Instruct'  # a folder beside the repository does not count
    with pytest.raises(ValueError, match=r"folder '.*/repo/assets/demo_lmn' does not exist \(.*demo_lmm' does\)"):
        load_lmm_config(config.model.lmm.name_or_path)


def test_read_config_finds_checkpoints(tmp_path, monkeypatch):
    (tmp_path / 'repo' / 'assets').mkdir(parents=True)
    (tmp_path / 'repo' / 'sam.pth').touch()
    (tmp_path / 'repo' / 'config.py').write_text(
        "model = dict(sam=dict(checkpoint='absent.pth'), lmm=dict(name_or_path='assets'))"
    )
    monkeypatch.chdir(tmp_path)
    config = read_config(tmp_path / 'repo' / 'config.py', {'model.sam.checkpoint': 'sam.pth'})
    assert config.model.sam.checkpoint == str(tmp_path / 'repo' / 'sam.pth')
    assert config.model.lmm.name_or_path == str(tmp_path / 'repo' / 'assets')


@pytest.mark.parametrize(
    ('misspelt', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('val_evaluater', 'val_evaluator'),
        ('load_form', 'load_from'),
        ('find_unused_parameter', 'find_unused_parameters'),
        ('model_wraper_cfg', 'model_wrapper_cfg'),
        ('activation_checkpoint', 'activation_checkpointing'),
    ],
)
def test_near_misses_are_refused(misspelt, meant):
    message = rf"unknown config key '{misspelt}' \(did you mean '{meant}'\?\); rename it, as it would have no effect"
    with pytest.raises(ValueError, match=message):
        check_config_keys(['model', misspelt])


def test_all_near_misses_are_named():
    with pytest.raises(ValueError, match=r"'val_cgf' \(.*'val_cfg'\?\), 'test_cgf' \(.*'test_cfg'\?\); rename"):
        check_config_keys({'val_cgf': {}, 'test_cgf': {}})


def test_keys_of_the_runner_and_variables_pass():
    runner = ['model', 'work_dir', 'train_cfg', 'auto_scale_lr', 'sync_bn', 'compile', 'efficient_conv_bn_eval']
    variables = ['lmm', 'pipeline', 'image_processor', 'refcoco', 'train_pipeline']
    assert check_config_keys([*runner, *variables]) is None  # and raises nothing


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_published_configs_pass(path):
    assert check_config_keys(Config.fromfile(path)) is None


def test_mappings_are_found_at_any_depth_outer_before_inner():
    inner, deep, other = {'c': 1}, {'d': 'text'}, {'f': None}
    outer = {'a': [inner, (deep,)], 'b': {'e': other}}
    assert list(mappings_in([outer, 'text', 3])) == [outer, inner, deep, {'e': other}, other]
    assert list(mappings_in(None)) == []


def test_what_training_md_overrides_reaches_the_model_and_every_pipeline():
    path = 'dataset.pipeline.2.image_processor.pretrained_model_name_or_path'
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    overrides = dict.fromkeys([*(f'{loader}.{path}' for loader in loaders), 'model.lmm.name_or_path'], '/elsewhere')
    config = read_config(DEMO, overrides)
    found = [config[loader].dataset.pipeline[2].image_processor.pretrained_model_name_or_path for loader in loaders]
    assert [*found, config.model.lmm.name_or_path] == ['/elsewhere'] * 4
