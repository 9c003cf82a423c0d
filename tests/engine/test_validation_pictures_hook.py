import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from predicted_samples import predicted_sample, random_masks

from flmm.engine import ValidationPicturesHook
from flmm.engine import validation_pictures_hook as module
from flmm.visualization import draw_phrases, figure_pixels


class Validation:
    """A runner at an iteration, and the pictures that its visualizer got: (name, step) -> pixels."""

    def __init__(self, hook):
        self.hook, self.iter, self.pictures, self.messages = hook, 0, {}, []
        self.visualizer = SimpleNamespace(add_image=self._add_image)
        self.logger = logging.Logger('validation')
        handler = logging.Handler()
        handler.emit = lambda record: self.messages.append(record.getMessage())
        self.logger.addHandler(handler)

    def _add_image(self, name, image, *, step):
        self.pictures[name, step] = image

    def run(self, *batches):
        self.hook.before_val(self)
        for index, samples in enumerate(batches):
            self.hook.after_val_iter(self, index, {}, samples)
        self.hook.after_val(self)


def sample_of(sample_idx):
    torch.manual_seed(sample_idx)
    masks = [random_masks(1, 10, 12, seed=seed) for seed in range(3)]
    return predicted_sample(
        *masks, attentions=torch.rand(1, 2, 2, 2), dataset_name='val/easy', sample_idx=sample_idx,
        image_path='folder/photo.jpg',
    )  # fmt: skip


def test_each_validation_shows_the_same_first_samples():
    validation = Validation(ValidationPicturesHook(num_samples=3))
    batches = [[sample_of(0), sample_of(1)], [sample_of(2), sample_of(3)]]
    for step in (20, 40):
        validation.iter = step
        validation.run(*batches)
    names = ['val%2Feasy/photo_0_0', 'val%2Feasy/photo_1_1', 'val%2Feasy/photo_2_2']
    assert list(validation.pictures) == [(name, step) for step in (20, 40) for name in names]
    drawn = figure_pixels(draw_phrases([sample_of(1)]))
    assert np.array_equal(validation.pictures[names[1], 40], drawn)
    assert not np.array_equal(validation.pictures[names[0], 40], drawn)


def test_only_the_first_process_draws(monkeypatch):
    monkeypatch.setattr(module, 'is_main_process', lambda: False)
    validation = Validation(ValidationPicturesHook())
    validation.run([sample_of(0)])
    assert validation.pictures == {}


def test_what_cannot_be_drawn_is_an_error_in_the_log():
    validation = Validation(ValidationPicturesHook(num_samples=2))
    validation.run([sample_of(0).with_outputs(image=None), sample_of(1), sample_of(2)])
    assert [name for name, _ in validation.pictures] == ['val%2Feasy/photo_1_1']
    assert validation.messages == ["picture 'val%2Feasy/photo_0_0' failed"]


def test_a_backend_that_fails_does_not_end_the_training(monkeypatch):
    validation = Validation(ValidationPicturesHook())

    def fail(*_, **__):
        raise OSError('disk full')

    validation.visualizer.add_image = fail
    validation.run([sample_of(0)])
    assert validation.messages == ["picture 'val%2Feasy/photo_0_0' failed"]


def test_no_sample():
    with pytest.raises(ValueError, match='num_samples is 0, expected 1 or more'):
        ValidationPicturesHook(num_samples=0)
