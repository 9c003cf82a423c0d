"""tools/test.py on videos, with SAM 2's tracker and without."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_models import saved_tiny_model, tiny_sam
from tiny_ref_videos import EXPRESSIONS, FRAMES, SIZE, write_mevis
from tiny_refcoco import REPOSITORY, run_tool
from tiny_video_sam import tiny_video_sam

from flmm.config import read_config
from flmm.models.build import build_model
from flmm.scoring.predictions_file import read_predictions

CONFIG = """
_base_ = {base!r}
from flmm.assembly import assemble

image_processor = dict(_base_.image_processor, pretrained_model_name_or_path={root!r} + '/lmm', max_pixels=4 * 28**2)
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
model['lmm'] = dict(name_or_path={root!r} + '/lmm', dtype='float32')
model['mask_head'] = dict(base_channels=4, upsample_input=16)
model['sam'] = dict(sam=dict(
    _delete_=True, type='build_small_sam', checkpoint={root!r} + '/sam.safetensors', image_size=64, patch_size=8,
    encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2, encoder_global_attn_indexes=(1,), window_size=4,
    prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
))
test_dataloader = dict(num_workers=0, dataset=dict(
    test_dataloader['dataset'], data_root={root!r} + '/data', ann_file='meta_expressions.json',
    mask_file='mask_dict.json', data_prefix=dict(img_path='JPEGImages'), fps=6.0,
))
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'data').mkdir()
    write_mevis(tmp_path / 'data')
    rng = np.random.default_rng(0)
    for path in sorted((tmp_path / 'data').rglob('*.jpg')):
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    saved_tiny_model(tmp_path / 'lmm')
    save_file(tiny_sam().state_dict(), tmp_path / 'sam.safetensors')
    tiny_video_sam().save_pretrained(tmp_path / 'video_sam')
    path = tmp_path / 'tracked.py'
    base = REPOSITORY / 'configs' / 'qwen' / 'qwen2_5_vl_3b_sam_l_mevis.py'
    path.write_text(CONFIG.format(base=str(base), root=str(tmp_path)))
    return path


def test_videos_are_tracked_where_an_option_says_so(config, tmp_path):
    torch.manual_seed(0)
    model = build_model(read_config(config))
    torch.save(
        {'state_dict': model.state_dict(), 'meta': {'frozen_parts': model.frozen_parts()}}, tmp_path / 'heads.pth'
    )
    figures, masks = {}, {}
    tracker = [f'+model.tracker.name_or_path={tmp_path / "video_sam"}', '+model.tracker.num_key_frames=2']
    for name, options in (('plain', []), ('tracked', tracker)):
        work_dir = tmp_path / name
        run_tool(
            'test', config, tmp_path / 'heads.pth', '--work-dir', work_dir, '--out', work_dir / 'found.jsonl',
            '--cfg-options', f'experiment_name={name}', 'test_evaluator.num_bootstrap=0', *options,
        )  # fmt: skip
        figures[name] = json.loads((work_dir / 'metrics.json').read_text())
        masks[name] = [line.masks for line in read_predictions(work_dir / 'found.jsonl')]

    assert figures['plain'].keys() == figures['tracked'].keys()
    for name, value in figures['plain'].items():
        if '/coarse/' in name:
            assert figures['tracked'][name] == value, name
    assert figures['plain']['mevis_valid_u/refined/J&F'] != figures['tracked']['mevis_valid_u/refined/J&F']
    assert len(masks['tracked']) == sum(len(FRAMES[video]) * len(EXPRESSIONS[video]) for video in FRAMES)
    assert [line['coarse'] for line in masks['tracked']] == [line['coarse'] for line in masks['plain']]
