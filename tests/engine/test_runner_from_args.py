import argparse
import gc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flmm.engine import runner_from_args
from flmm.engine.runner_from_args import add_runner_arguments, build_runner, load_config


@pytest.fixture
def parse(tmp_path):
    """Parse command-line arguments after the path of a small config."""
    config = tmp_path / 'small.py'
    config.write_text("model = dict(type='M', width=1, parts=[dict(name='a'), dict(name='b')])\ntrain_cfg = dict()\n")
    parser = argparse.ArgumentParser()
    add_runner_arguments(parser)
    return lambda *arguments: parser.parse_args([str(config), *arguments])


def test_defaults(parse):
    config = load_config(parse())
    assert config.launcher == 'none'
    assert Path(config.work_dir) == Path('work_dirs/small')
    assert config.model.width == 1


def test_work_dir(parse):
    from_options = ['--cfg-options', 'work_dir=configured']
    assert load_config(parse(*from_options)).work_dir == 'configured'
    assert load_config(parse(*from_options, '--work-dir', 'given')).work_dir == 'given'


def test_options_override(parse):
    options = ['model.width=8', 'model.parts.1.name=c', '+train_cfg.max_epochs=2', '+values=[1,2.5]', '+split=(a,b)']
    config = load_config(parse('--cfg-options', *options))
    assert config.model.to_dict() == {'type': 'M', 'width': 8, 'parts': [{'name': 'a'}, {'name': 'c'}]}
    assert config.train_cfg.max_epochs == 2
    assert config['values'] == [1, 2.5]
    assert config.split == ('a', 'b')


def test_misspelt_option(parse):
    with pytest.raises(ValueError, match=r"'train_cgf' \(did you mean 'train_cfg'\?\)"):
        load_config(parse('--cfg-options', 'train_cgf.max_epochs=2'))


def test_misspelt_key_in_the_file(parse):
    args = parse()
    Path(args.config).write_text('train_dataloder = dict()\n')
    with pytest.raises(ValueError, match=r"'train_dataloder' \(did you mean 'train_dataloader'\?\)"):
        load_config(args)


def test_launchers(parse, capsys):
    assert load_config(parse('--launcher', 'pytorch', '--local-rank', '1')).launcher == 'pytorch'
    with pytest.raises(SystemExit):
        parse('--launcher', 'unknown')
    assert "invalid choice: 'unknown'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('launcher', 'gpu', 'wrapper'),
    [
        ('none', False, None),
        ('pytorch', True, None),  # mmengine's own, on the process's GPU
        ('pytorch', False, {'type': 'MMDistributedDataParallel', 'device_ids': None, 'broadcast_buffers': False}),
    ],
)
def test_without_gpu_the_model_is_wrapped_for_a_cpu(monkeypatch, launcher, gpu, wrapper):
    connected = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(
        runner_from_args, 'connect_processes', lambda launcher, dist_cfg: connected.append((launcher, dist_cfg))
    )
    monkeypatch.setattr(runner_from_args.GroundingRunner, 'from_cfg', lambda config: config)

    config = build_runner(Config({'launcher': launcher, 'env_cfg': {'dist_cfg': {'timeout': 7}}}))

    assert connected == ([] if launcher == 'none' else [('pytorch', {'timeout': 7})])
    assert config.get('model_wrapper_cfg') == wrapper


def test_what_was_imported_is_set_apart_from_collections_once(monkeypatch):
    monkeypatch.setattr(runner_from_args.GroundingRunner, 'from_cfg', lambda config: config)
    runner_from_args._set_imports_apart.cache_clear()
    before = gc.get_freeze_count()
    imported = [[] for _ in range(10_000)]
    build_runner(Config({'launcher': 'none'}))
    count = gc.get_freeze_count()
    assert count > before + 5_000
    later = [[] for _ in range(10_000)]
    build_runner(Config({'launcher': 'none'}))
    assert gc.get_freeze_count() <= count  # what came later is not
    assert len(imported) == len(later)
