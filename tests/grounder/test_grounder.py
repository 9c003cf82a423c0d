"""Grounding phrases of any image with a trained model."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.runner import save_checkpoint
from PIL import Image
from safetensors.torch import save_file
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm, tiny_processor, tiny_sam
from tiny_refcoco import REPOSITORY

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG, unlabelled_item
from flmm.inference import PhraseGrounder


def build_grounder(*, concat=True, **settings):
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.', concat=concat)
    return PhraseGrounder(model=tiny_grounder().eval(), to_sample=to_sample, **settings)


def photo(size=(90, 60), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def test_masks_lie_in_the_image_frame_and_the_truth_is_not_known():
    found = build_grounder()(photo(), ['a cat', 'dog'])
    assert found.pred_masks.shape == found.sam_pred_masks.shape == (2, 90, 60)
    assert found.gt_masks is found.masks is None
    assert found.phrases == ['a cat', 'dog']
    replace(found)  # its fields fit together


PHRASES = ['a cat', 'dog', 'the red one', 'x', 'it is there']
PREDICTED = ('mask_attentions', 'pred_masks', 'sam_pred_masks')


@pytest.mark.parametrize('batch_size', [1, 2, 8])
def test_a_phrase_depends_neither_on_the_others_nor_on_their_order(batch_size):
    grounder = build_grounder(batch_size=batch_size)
    together, turned = grounder(photo(), PHRASES), grounder(photo(), PHRASES[::-1])
    for index, phrase in enumerate(PHRASES):
        alone = grounder(photo(), [phrase])
        torch.testing.assert_close(together.text_embeds[index], alone.text_embeds[0], atol=1e-5, rtol=0)
        for name in PREDICTED:
            torch.testing.assert_close(getattr(together, name)[index], getattr(alone, name)[0], atol=3e-5, rtol=0)
            torch.testing.assert_close(getattr(turned, name)[-1 - index], getattr(alone, name)[0], atol=3e-5, rtol=0)


def test_phrases_may_share_a_sequence():
    """Then it is the model's own forward over samples of so many phrases, as in training."""
    grounder = build_grounder(group_size=2)
    found = grounder(photo(), PHRASES)
    items = [unlabelled_item(photo(), PHRASES[start : start + 2]) for start in (0, 2, 4)]
    expected = grounder.model([grounder.to_sample.transform(item) for item in items], mode='predict')
    for name in PREDICTED:
        expected_of_all = torch.cat([getattr(sample, name) for sample in expected])
        torch.testing.assert_close(getattr(found, name), expected_of_all, atol=1e-5, rtol=0)
    alone = build_grounder()(photo(), PHRASES)
    assert (alone.sam_pred_masks[1] - found.sam_pred_masks[1]).abs().max() > 1e-4  # it sees the one before it


def test_the_tokens_of_all_phrases_stand_in_the_sample():
    grounder = build_grounder()
    found = grounder(photo(), PHRASES)
    assert found.tokens_per_mask == [len(phrase) for phrase in PHRASES]  # the tokenizer's are bytes
    for index, phrase in enumerate(PHRASES):
        tokens = found.input_ids[found.mask_ids == index].tolist()
        assert grounder.to_sample.image_processor.tokenizer.decode(tokens) == phrase


@pytest.mark.parametrize(
    ('option', 'value'), [('group_size', 0), ('batch_size', -1), ('group_size', 2.0), ('batch_size', '8')]
)
def test_sizes_that_are_no_numbers_above_zero(option, value):
    with pytest.raises(ValueError, match=f'{option} is {value!r}, expected an integer above 0'):
        build_grounder(**{option: value})


@pytest.mark.parametrize(
    'phrases',
    [('a cat', 'dog'), np.array(['a cat', 'dog']), iter(['a cat', 'dog']), {'a cat': 1, 'dog': 2}],
    ids=lambda value: type(value).__name__,
)
def test_phrases_may_come_in_any_container(phrases):
    grounder = build_grounder()
    found = grounder(photo(), phrases)
    assert found.phrases == ['a cat', 'dog']
    assert torch.equal(found.sam_pred_masks, grounder(photo(), ['a cat', 'dog']).sam_pred_masks)


def test_the_image_is_processed_and_kept_once(monkeypatch):
    """A large image has 70 MB of patches; a hundred phrases would hold them a hundred times."""
    grounder, seen, kept = build_grounder(batch_size=2), [], []
    preprocess = grounder.to_sample.image_processor.preprocess
    monkeypatch.setattr(
        grounder.to_sample.image_processor, 'preprocess', lambda *args, **kw: seen.append(1) or preprocess(*args, **kw)
    )
    encode = grounder.model.encode
    monkeypatch.setattr(grounder.model, 'encode', lambda samples: kept.extend(samples) or encode(samples))
    grounder(photo(), PHRASES)
    assert len(seen) == 1
    assert len(kept) == len(PHRASES)
    assert (
        len({sample.lmm_inputs['pixel_values'].data_ptr() for sample in kept})
        == len({id(sample.image) for sample in kept})
        == 1
    )


def test_every_kind_of_image(tmp_path):
    grounder, image = build_grounder(), photo()
    image.save(tmp_path / 'image.png')
    expected = grounder(image, ['x']).sam_pred_masks
    pixels = np.asarray(image)
    kinds = [str(tmp_path / 'image.png'), tmp_path / 'image.png', pixels, torch.tensor(pixels).permute(2, 0, 1)]
    for kind in kinds:
        assert torch.equal(grounder(kind, ['x']).sam_pred_masks, expected), type(kind)
    assert grounder(tmp_path / 'image.png', ['x']).image_path == str(tmp_path / 'image.png')


@pytest.mark.parametrize('grey', [Image.new('L', (56, 60), 128), np.full((60, 56), 128, dtype=np.uint8)], ids=type)
def test_grey_images_are_taken(grey):
    found = build_grounder()(grey, ['x'])
    assert found.image.mode == 'RGB'
    assert found.sam_pred_masks.shape == (1, 60, 56)


def test_a_file_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    photo().save(tmp_path / 'turned.png', exif=exif)
    grounder = build_grounder()
    found = grounder(tmp_path / 'turned.png', ['x'])
    assert torch.equal(
        found.sam_pred_masks, grounder(photo().transpose(Image.Transpose.ROTATE_270), ['x']).sam_pred_masks
    )
    assert found.image_size == (60, 90)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        ('absent.png', r"image 'absent\.png' cannot be read \(it does not exist\); expected the path"),
        ('https://host/a.png', r"image 'https://host/a\.png' cannot be read \(it does not exist\); expected the path"),
        (Image.new('RGB', (0, 4)), 'an image of 0x4 px'),
        (np.zeros((4, 0, 3), dtype=np.uint8), 'an image of 0x4 px'),
        (np.zeros((4, 4, 3)), r'image is a float64 array \(4, 4, 3\), expected uint8 \[height, width\] or'),
        (np.zeros((3, 4, 4), dtype=np.uint8), r'image is a uint8 array \(3, 4, 4\), expected uint8'),
        (torch.zeros(3, 4, 4), r'image is a torch\.float32 tensor \(3, 4, 4\), expected uint8 \[3, height, width\]'),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r'torch\.uint8 tensor \(4, 4, 3\), expected uint8 \[3, '),
        (None, 'image is a NoneType, expected a path, PIL image, uint8 array or uint8 tensor'),
        (b'bytes', 'image is a bytes, expected a path'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_images_are_refused_by_name(image, message):
    with pytest.raises(ValueError, match=message):
        build_grounder()(image, ['x'])


@pytest.mark.parametrize(
    ('phrases', 'message'),
    [
        ([], 'has no phrase'),
        (['a', ''], "phrase '' has no letter or digit"),
        (None, 'has None for phrases; give a list'),
        (5, 'has 5 for phrases; give a list'),
        (np.array([]), 'has no phrase'),
        ('the star', "has the string 'the star' for phrases; give a list"),
        (['a', None], 'phrase None'),
        (['a', 3], 'phrase 3'),
    ],
)
def test_unusable_phrases_are_named(phrases, message):
    with pytest.raises(ValueError, match=message):
        build_grounder()(Image.new('RGB', (56, 56)), phrases)


def test_split_samples_are_refused():
    with pytest.raises(ValueError, match='to_sample has concat=False'):
        build_grounder(concat=False)


TO_SAMPLE = """dict(
    type='RefCOCO2PNG',
    image_processor=dict(type='QwenImageProcessorWrapper', pretrained_model_name_or_path='assets/lmm'),
    prompt='Look.',
)"""
DATASET = f"dict(type='RefCocoDataset', pipeline=[dict(type='LoadMasks'), {TO_SAMPLE}])"
LMM = "dict(type='pretrained_lmm', name_or_path='assets/lmm', dtype='float32')"
CACHED = f"dict(type='flmm.CachedFeatures', folder='nowhere', dataset={DATASET}, model=dict(lmm={LMM}))"
LOADERS = {
    'plain': (LMM, f'val_dataloader = dict(dataset={DATASET})'),
    'not the last step': (LMM, f"val_dataloader = dict(dataset=dict(pipeline=[{TO_SAMPLE}, dict(type='Resize')]))"),
    'none': (LMM, f'val_dataloader = None\ntrain_dataloader = dict(dataset={DATASET})'),
    'absent': (LMM, f'test_dataloader = dict(dataset={DATASET})'),
    'concatenated': (LMM, f"val_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[{DATASET}] * 2))"),
    'repeated': (LMM, f"train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset={DATASET}))"),
    'cached': ("dict(type='LMMWithoutWeights')", f'val_dataloader = dict(dataset={CACHED})'),
    'cached, concatenated': (
        "dict(type='LMMWithoutWeights')", f"train_dataloader = dict(dataset=dict(datasets=({CACHED},)))"
    ),
}  # fmt: skip


@pytest.fixture(scope='module')
def trained():
    return tiny_grounder(seed=3)


@pytest.fixture(scope='module')
def repository(tmp_path_factory, trained):
    """Like a clone: assets, a folder of configs, a checkpoint."""
    root = tmp_path_factory.mktemp('repository')
    tiny_lmm().save_pretrained(root / 'assets' / 'lmm')
    tiny_processor().save_pretrained(root / 'assets' / 'lmm')
    sam = {key: tensor.contiguous() for key, tensor in tiny_sam().state_dict().items()}
    save_file(sam, root / 'assets' / 'sam.safetensors')
    save_checkpoint({'state_dict': trained.state_dict()}, str(root / 'trained.pth'))
    (root / 'configs').mkdir()
    return root


def write_config(repository, lmm, loaders):
    path = repository / 'configs' / 'config.py'
    path.write_text(
        f"""
default_scope = 'flmm'
model = dict(
    type='FrozenQwenSAM',
    lmm={lmm},
    mask_head=dict(type='UNetHead', base_channels=4, upsample_input=16),
    sam=dict(type='SAMWrapper', sam=dict(
        type='build_small_sam', image_size=64, patch_size=8, encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2,
        encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
        checkpoint='assets/sam.safetensors')),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
    loss_dice=dict(type='mmdet.DiceLoss'),
)
{loaders}
"""
    )
    return path


@pytest.mark.parametrize(('lmm', 'loaders'), LOADERS.values(), ids=LOADERS.keys())
def test_from_config_is_the_model_and_processor_of_the_config(lmm, loaders, repository, trained, tmp_path, monkeypatch):
    """From any working directory; the checkpoint is looked for in that one."""
    config = write_config(repository, lmm, loaders)
    monkeypatch.chdir(tmp_path)
    checkpoint = os.path.relpath(repository / 'trained.pth')
    found = PhraseGrounder.from_config(os.path.relpath(config), checkpoint=checkpoint)(photo(), ['a', 'bc'])

    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.')
    expected = PhraseGrounder(model=trained.eval(), to_sample=to_sample)(photo(), ['a', 'bc'])
    torch.testing.assert_close(found.sam_pred_masks, expected.sam_pred_masks, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ('lmm', 'loaders', 'message'),
    [
        (LMM, 'val_dataloader = None', r"'.*config\.py' has no RefCOCO2PNG in val_dataloader, test_dataloader, train"),
        (
            "dict(type='LMMWithoutWeights')",
            f'val_dataloader = dict(dataset={DATASET})',
            r"'.*config\.py' has an LMM without weights, and no CachedFeatures in .*; set model\.lmm to that one",
        ),
        (LMM.replace('/lmm', '/lmn'), f'val_dataloader = dict(dataset={DATASET})', "assets/lmn' does not exist"),
    ],
    ids=['no pipeline', 'no weights', 'misspelt folder'],
)  # fmt: skip
def test_configs_that_do_not_do_are_refused(lmm, loaders, message, repository, monkeypatch):
    monkeypatch.chdir(repository)
    with pytest.raises(ValueError, match=message):
        PhraseGrounder.from_config(write_config(repository, lmm, loaders), checkpoint='trained.pth')


def test_only_a_model_without_a_trained_part_needs_no_checkpoint():
    ground = PhraseGrounder.from_config(REPOSITORY / 'configs' / 'shapes' / 'demo_training_free.py', checkpoint=None)
    found = ground(photo(), ['a cat', 'dog'])
    assert found.sam_pred_masks.shape == (2, 90, 60)
    assert found.mask_attentions.shape[1] == 3
    assert found.text_embeds is None
    with pytest.raises(ValueError, match=r'checkpoint is None, and .*demo\.py. has a part to train'):
        PhraseGrounder.from_config(REPOSITORY / 'configs' / 'shapes' / 'demo.py', checkpoint=None)
