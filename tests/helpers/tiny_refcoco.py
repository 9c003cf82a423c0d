"""A RefCOCO of six random images, the tiny models as files, a config over both, and the tools run on it, for tests."""

import json
import pickle
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from tiny_models import tiny_lmm, tiny_processor, tiny_sam
from transformers import PreTrainedModel, ProcessorMixin

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

CONFIG = """
_base_ = {base!r}
model = dict(
    lmm=dict(name_or_path={lmm!r}),
    mask_head=dict(base_channels=4, upsample_input=16),
    sam=dict(sam=dict(
        checkpoint={sam!r}, image_size=64, patch_size=8, encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2,
        encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
    )),
)
image_processor = dict(type='QwenImageProcessorWrapper', pretrained_model_name_or_path={lmm!r})
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


def write_workspace(root: Path) -> Path:
    """Write data, models and a config of two epochs into ``root``; return the path of the config."""
    write_refcoco(root / 'data')
    tiny_lmm().save_pretrained(root / 'lmm')
    tiny_processor().save_pretrained(root / 'lmm')
    save_file(tiny_sam().state_dict(), root / 'sam.safetensors')
    config = root / 'tiny.py'
    config.write_text(
        CONFIG.format(
            base=str(REPOSITORY / 'configs' / 'shapes' / 'demo.py'),
            lmm=str(root / 'lmm'),
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


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run ``tools/<name>.py`` in this process, which has imported already what takes the tools ten seconds."""
    path = str(REPOSITORY / 'tools' / f'{name}.py')
    with mock.patch.object(sys, 'argv', [path, *map(str, arguments)]):
        runpy.run_path(path, run_name='__main__')
