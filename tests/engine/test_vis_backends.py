import json
import sys

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from flmm.engine import Visualizer, vis_backends
from flmm.registry import VISBACKENDS

PICTURE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)

WANDB = """
calls = []


class Settings:
    def update(self, values, allow_val_change):
        calls.append(('config', values, allow_val_change))


config = Settings()


def init(**settings):
    calls.append(('init', settings))


def define_metric(name, step_metric=None):
    calls.append(('define_metric', name, step_metric))


def Image(pixels):
    return ('picture', pixels.shape)


def log(values, commit):
    calls.append(('log', values))


def finish():
    calls.append(('finish',))
"""


@pytest.mark.parametrize(
    ('backend', 'package'), [('TensorboardVisBackend', 'tensorboard'), ('WandbVisBackend', 'wandb')]
)
def test_a_backend_whose_package_is_absent_names_the_extra(backend, package, tmp_path, monkeypatch):
    find_spec = vis_backends.importlib.util.find_spec
    monkeypatch.setattr(
        vis_backends.importlib.util, 'find_spec', lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(ValueError, match=rf"{backend} needs the package {package}.* flmm's extra '{package}': pip"):
        VISBACKENDS.build({'type': backend, 'save_dir': str(tmp_path)})


def test_a_folder_of_the_name_is_no_package(tmp_path, monkeypatch):
    """Runs of wandb leave one in the working directory."""
    (tmp_path / 'no_wandb').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match='Named needs the package no_wandb, which is not installed'):
        vis_backends._require('no_wandb', backend='Named')


def test_names_and_configs_make_backends(tmp_path):
    backends = ['flmm.LocalVisBackend', {'type': 'flmm.TensorboardVisBackend'}]  # a run has the scope by default
    visualizer = Visualizer.get_instance('test_names', vis_backends=backends, save_dir=str(tmp_path))
    visualizer.add_scalars({'loss': 0.5, 'refined/mIoU': 12.5}, step=7, file_path='run.json')
    visualizer.add_image('val/photo', PICTURE, step=7)
    visualizer.close()

    folder = tmp_path / 'vis_data'
    assert json.loads((folder / 'scalars.json').read_text()) == {'loss': 0.5, 'refined/mIoU': 12.5, 'step': 7}
    assert np.array_equal(np.asarray(Image.open(folder / 'vis_image' / 'val' / 'photo_7.png')), PICTURE)
    events = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars('refined/mIoU')] == [(7, 12.5)]
    (image,) = events.Images('val/photo')
    assert (image.step, image.width, image.height) == (7, 7, 5)


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    backend = VISBACKENDS.build({'type': 'LocalVisBackend', 'save_dir': str(tmp_path)})
    (tmp_path / 'vis_image').write_text('a file in the place of the folder')
    with pytest.raises(OSError, match='vis_image'):
        backend.add_image('photo', PICTURE)


def test_a_run_of_wandb_has_iterations_for_its_axis_and_ends(tmp_path, monkeypatch):
    """Against a stand-in that notes its calls; the package itself needs 100 MB and an account."""
    (tmp_path / 'wandb.py').write_text(WANDB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'wandb', raising=False)
    backend = VISBACKENDS.build(
        {'type': 'WandbVisBackend', 'save_dir': str(tmp_path), 'init_kwargs': {'project': 'grounding'}}
    )
    backend.add_config(Config({'lr': 0.1}))
    backend.add_scalars({'loss': 0.5, 'iter': 20}, step=20, file_path='run.json')
    backend.add_scalar('mIoU', 3.0, step=20)
    backend.add_image('val/photo', PICTURE, step=20)
    backend.close()

    import wandb

    monkeypatch.delitem(sys.modules, 'wandb')
    assert wandb.calls == [
        ('init', {'project': 'grounding', 'dir': str(tmp_path)}),
        ('define_metric', '*', 'step'),
        ('config', {'lr': 0.1}, True),
        ('log', {'loss': 0.5, 'iter': 20, 'step': 20}),
        ('log', {'mIoU': 3.0, 'step': 20}),
        ('log', {'val/photo': ('picture', (5, 7, 3)), 'step': 20}),
        ('finish',),
    ]
