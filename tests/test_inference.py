"""Grounding phrases of any image with a trained model."""

import numpy as np
import pytest
import torch
from mmengine.runner import save_checkpoint
from PIL import Image
from safetensors.torch import save_file
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm, tiny_processor, tiny_sam

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.inference import PhraseGrounder


def build_grounder(**changes):
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.', **changes)
    return PhraseGrounder(model=tiny_grounder().eval(), to_sample=to_sample)


def test_masks_lie_in_the_image_frame_and_do_not_depend_on_the_unknown_truth():
    grounder = build_grounder()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 60, 3), dtype=np.uint8))
    found = grounder(image, ['a cat', 'dog'])
    assert found.pred_masks.shape == found.sam_pred_masks.shape == (2, 90, 60)
    assert not found.gt_masks.any()

    found.gt_masks[:], found.masks[:] = True, True
    (again,) = grounder.model([found], mode='predict')
    assert torch.equal(again.sam_pred_masks, found.sam_pred_masks)


def test_grey_images_are_taken():
    found = build_grounder()(Image.fromarray(np.full((56, 56), 128, dtype=np.uint8)), ['x'])
    assert found.image.mode == 'RGB'


@pytest.mark.parametrize(
    ('phrases', 'message'),
    [
        ([], 'has no phrase'),
        (['a', ''], "phrase '' has no letter or digit"),
        ('the star', "has the string 'the star' for phrases; give a list"),
    ],
)
def test_unusable_phrases_are_named(phrases, message):
    with pytest.raises(ValueError, match=message):
        build_grounder()(Image.new('RGB', (56, 56)), phrases)


def test_split_samples_are_refused():
    with pytest.raises(ValueError, match='to_sample has concat=False'):
        build_grounder(concat=False)


def test_from_config_is_the_model_and_processor_of_the_config(tmp_path):
    tiny_lmm().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    sam = tiny_sam()
    save_file({key: tensor.contiguous() for key, tensor in sam.state_dict().items()}, tmp_path / 'sam.safetensors')
    trained = tiny_grounder(seed=3)
    save_checkpoint({'state_dict': trained.state_dict()}, str(tmp_path / 'trained.pth'))
    (tmp_path / 'config.py').write_text(
        f"""
default_scope = 'flmm'
model = dict(
    type='FrozenQwenSAM',
    lmm=dict(type='pretrained_lmm', name_or_path={str(tmp_path)!r}, dtype='float32'),
    mask_head=dict(type='UNetHead', base_channels=4, upsample_input=16),
    sam=dict(type='SAMWrapper', sam=dict(
        type='build_small_sam', image_size=64, patch_size=8, encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2,
        encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
        checkpoint={str(tmp_path / 'sam.safetensors')!r})),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
    loss_dice=dict(type='mmdet.DiceLoss'),
)
to_sample = dict(
    type='RefCOCO2PNG',
    image_processor=dict(type='QwenImageProcessorWrapper', pretrained_model_name_or_path={str(tmp_path)!r}),
    prompt='Look.',
)
val_dataloader = dict(dataset=dict(pipeline=[to_sample]))
"""
    )
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 90, 3), dtype=np.uint8))
    found = PhraseGrounder.from_config(tmp_path / 'config.py', checkpoint=tmp_path / 'trained.pth')(image, ['a', 'bc'])

    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.')
    expected = PhraseGrounder(model=trained.eval(), to_sample=to_sample)(image, ['a', 'bc'])
    torch.testing.assert_close(found.sam_pred_masks, expected.sam_pred_masks, atol=1e-6, rtol=0)
