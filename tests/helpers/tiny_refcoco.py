"""A RefCOCO of six random images, the tiny models as files, a config over both, and the tools run on it, for tests."""

import itertools
import json
import pickle
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from tiny_families import TINY
from tiny_models import tiny_sam
from transformers import PreTrainedModel, ProcessorMixin

from flmm.families import FAMILIES

REPOSITORY = Path(__file__).parents[2]
IMAGE_SIZES = {1: (56, 84), 2: (84, 56), 3: (112, 112), 4: (100, 70), 5: (90, 112), 6: (64, 64)}
"""Image id -> (height, width)."""
REFS = [
    ('train', 1, ['red', 'the red one', 'it is red']),
    ('train', 1, ['left', 'on the left']),
    ('train', 2, ['a b', 'b a', 'c', 'd e f']),
    ('train', 3, ['top', 'upper one', 'the one above']),
    ('train', 4, ['big', 'the largest']),
    ('train', 4, ['x', 'y', 'z']),
    ('val', 5, ['cat', 'a cat']),
    ('val', 5, ['dog']),
    ('testA', 5, ['man', 'the man', 'he']),
    ('testA', 5, ['hat', 'his hat']),
    ('testA', 6, ['she']),
    ('testB', 6, ['cup', 'a cup']),
    ('testB', 5, ['pen']),
]
"""(split, image id, sentences); the first sentence of a test ref is of kind 'name', the others are 'clause'."""
RUNS = itertools.count()
"""mmengine keeps loggers and writers of a process by the name of the run and the second in which it began."""

CONFIG = """
_base_ = {base!r}
model = dict(
    type={model!r},
    lmm=dict(name_or_path={lmm!r}),
    mask_head=dict(base_channels=4, upsample_input=16),
    sam=dict(sam=dict(
        checkpoint={sam!r}, image_size=64, patch_size=8, encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2,
        encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
    )),
)
image_processor = dict(type={wrapper!r}, pretrained_model_name_or_path={lmm!r}, **{image_processor!r})
to_sample = dict(type='RefCOCO2PNG', image_processor=image_processor, prompt='Where?')
loading = [dict(type='PILLoadImageFromFile'), dict(type='LoadMasks')]
pipeline = [*loading, to_sample]
data = dict(data_root={data!r}, pipeline=pipeline)
train_dataloader = dict(batch_size=2, dataset=dict(text_mode='random', **data))
val_dataloader = dict(dataset=dict(**data))
test_dataloader = dict(dataset=dict(**data))
train_cfg = dict(max_epochs=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.5, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=3, eta_min=0.0, by_epoch=True, convert_to_iter_based=True),
]
"""

CACHED = """
_base_ = {base!r}
cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model, dtype='float32', seed=5)
train_dataloader = dict(
    dataset=dict(folder={folder!r} + '/train', dataset=_base_.train_dataloader.dataset, draws={draws}, **cached)
)
val_dataloader = dict(dataset=dict(folder={folder!r} + '/val', dataset=_base_.val_dataloader.dataset, **cached))
test_dataloader = dict(dataset=dict(folder={folder!r} + '/test', dataset=_base_.test_dataloader.dataset, **cached))
model = dict(lmm=dict(type='LMMWithoutWeights'))
"""


# Over a config of configs/: its own wiring, prompt and protocol, with another LMM, a tiny head and the same tiny SAM.
FAMILY_CONFIG = """
_base_ = {base!r}
from flmm.assembly import assemble

image_processor = dict(_base_.image_processor, pretrained_model_name_or_path={lmm!r})
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
model['lmm'] = dict(name_or_path={lmm!r}, dtype='float32')
model['mask_head'] = dict(base_channels=4)
model['sam'] = dict(sam=dict(
    _delete_=True, type='build_small_sam', checkpoint={sam!r}, image_size=64, patch_size=8, encoder_embed_dim=16,
    encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16,
    decoder_num_heads=2, decoder_mlp_dim=32,
))
data = dict(data_root={data!r}, data_prefix=dict(img_path='images/'))
train_dataloader['dataset'].update(data)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(val_dataloader['dataset'], **data))
test_dataloader = dict(num_workers=0, dataset=dict(test_dataloader['dataset'], **data))
"""


def write_refcoco(root: Path) -> None:
    """Write images, ``refcoco/instances.json`` and ``refcoco/refs(unc).p``; every ref has a rectangle of its own."""
    rng = np.random.default_rng(0)
    (root / 'images').mkdir(parents=True)
    (root / 'refcoco').mkdir()
    for image_id, (height, width) in IMAGE_SIZES.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'images' / f'{image_id}.png')
    annotations, refs = [], []
    for ref_id, (split, image_id, sentences) in enumerate(REFS):
        height, width = IMAGE_SIZES[image_id]
        top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        bottom, right = top + height // 3, left + width // 3
        polygon = [left, top, right, top, right, bottom, left, bottom]
        annotations.append({'id': 100 + ref_id, 'image_id': image_id, 'segmentation': [polygon]})
        kinds = ['name'] + ['clause'] * (len(sentences) - 1)
        refs.append(
            {
                'ref_id': ref_id,
                'ann_id': 100 + ref_id,
                'image_id': image_id,
                'split': split,
                'sentences': [
                    {'raw': raw, **({'kind': kind} if split.startswith('test') else {})}
                    for raw, kind in zip(sentences, kinds, strict=True)
                ],
            }
        )
    images = [
        {'id': image_id, 'file_name': f'{image_id}.png', 'height': height, 'width': width}
        for image_id, (height, width) in IMAGE_SIZES.items()
    ]
    (root / 'refcoco' / 'instances.json').write_text(json.dumps({'images': images, 'annotations': annotations}))
    (root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(refs))


def write_workspace(root: Path, *, model_type: str = 'qwen2_5_vl') -> Path:
    """Write data, a family's tiny models and a config of two epochs into ``root``; return the path of the config."""
    family, tiny = FAMILIES[model_type], TINY[model_type]
    write_refcoco(root / 'data')
    tiny.lmm(model_type).save_pretrained(root / 'lmm')
    tiny.processor(model_type).save_pretrained(root / 'lmm')
    save_file(tiny_sam().state_dict(), root / 'sam.safetensors')
    config = root / 'tiny.py'
    config.write_text(
        CONFIG.format(
            base=str(REPOSITORY / 'configs' / 'shapes' / 'demo.py'),
            model=family.model.rpartition('.')[2],
            lmm=str(root / 'lmm'),
            wrapper=family.image_processor.rpartition('.')[2],
            image_processor=tiny.image_processor,
            sam=str(root / 'sam.safetensors'),
            data=str(root / 'data'),
        )
    )
    return config


def write_family_workspace(root: Path, *, base: Path, lmm: PreTrainedModel, processor: ProcessorMixin) -> Path:
    """Write data, models and a config like ``base`` over a tiny LMM into ``root``; return the path of the config."""
    write_refcoco(root / 'data')
    lmm.save_pretrained(root / 'lmm')
    processor.save_pretrained(root / 'lmm')
    save_file(tiny_sam().state_dict(), root / 'sam.safetensors')
    paths = {'lmm': str(root / 'lmm'), 'sam': str(root / 'sam.safetensors'), 'data': str(root / 'data')}
    config = root / base.name
    config.write_text(FAMILY_CONFIG.format(base=str(base), **paths))
    return config


def write_cached_config(config: Path, *, draws: int = 3) -> Path:
    """Write ``cached.py`` beside a config: the same, but every loader reads stored features; return its path.

    Args:
        config: the config.
        draws: how often each item of the train loader is stored.
    """
    path = config.with_name('cached.py')
    folder = str(config.with_name('features'))
    path.write_text(CACHED.format(base=f'./{config.name}', folder=folder, draws=draws))
    return path


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run ``tools/<name>.py`` in this process, which has imported already what takes the tools ten seconds."""
    run_script(REPOSITORY / 'tools' / f'{name}.py', *arguments)


def train(config: Path, work_dir: Path, *options: str, resume: Sequence[str | Path] = ()) -> None:
    """Run ``tools/train.py``; ``options`` are --cfg-options, ``resume`` what else stands on the command line."""
    name = f'experiment_name=run_{next(RUNS)}'
    run_tool('train', config, '--work-dir', work_dir, *resume, '--cfg-options', name, *options)


def run_script(path: Path, *arguments: str | Path) -> None:
    """Run a script in this process, without what takes mmengine longer than it takes to train tiny models."""
    with (
        mock.patch.object(sys, 'argv', [str(path), *map(str, arguments)]),
        # Lays out the text of a config, each time that it is logged or saved.
        mock.patch('mmengine.config.config.FormatCode', lambda text, **_: (text, False)),
    ):
        runpy.run_path(str(path), run_name='__main__')
