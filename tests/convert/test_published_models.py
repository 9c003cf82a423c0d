"""Every published model of F-LMM has a config here that takes all of its file: in full size, in no memory."""

import pytest
import torch
from published_f_lmm import CONFIGS, PUBLISHED, published_shapes
from tiny_refcoco import REPOSITORY

from flmm.config import read_config
from flmm.convert import TrainedPart, build_without_weights, match_keys
from flmm.models.published_lmms import published_config

IN_CHANNELS = (1024, 2048, 2048, 384, 960)
HIDDEN_SIZES = (4096, 4096, 4096, 2048, 4096)


def test_there_is_a_config_for_each():
    assert CONFIGS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize(
    ('name', 'in_channels', 'hidden_size'), list(zip(PUBLISHED, IN_CHANNELS, HIDDEN_SIZES, strict=True))
)
def test_the_config_takes_every_key_in_full_size(name, in_channels, hidden_size, tmp_path):
    path = REPOSITORY / 'configs' / f'{CONFIGS[name]}.py'
    lmm = read_config(path).model.lmm.name_or_path
    folder = tmp_path / 'lmm'
    published_config(lmm).save_pretrained(folder)
    model = build_without_weights(read_config(path, {'model.lmm.name_or_path': str(folder)}))
    assert (model.mask_head.upsample_by, model.padding_cut) == ('scale_factor', 'whole_cells')

    layers, heads, hidden, views = PUBLISHED[name]
    shapes = published_shapes(layers=layers, channels=layers * heads * views, hidden_size=hidden)
    assert shapes['mask_head.encoder.0.0.convs.0.conv.weight'] == (64, in_channels, 3, 3)
    assert shapes['text_proj.weight'] == (256, hidden_size)
    rows = match_keys({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, TrainedPart.of(model))
    assert [(row.key, row.target, row.status) for row in rows] == [(key, key, 'mapped') for key in shapes]
