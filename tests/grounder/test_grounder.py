"""A grounder: what it is built from, and the images that it reads."""

import os

import pytest
import torch
from mmengine.runner import save_checkpoint
from safetensors.torch import save_file
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm, tiny_processor, tiny_sam
from tiny_reading import PHRASES, build_reader, photo
from tiny_refcoco import REPOSITORY

from flmm.grounder import Grounder, ReadImage


def test_calling_it_is_reading_and_grounding():
    grounder = build_reader()
    found, expected = grounder(photo(), PHRASES), grounder.read(photo()).ground(PHRASES)
    assert found.phrases == expected.phrases == PHRASES
    assert torch.equal(found.refined.in_image(), expected.refined.in_image())


def test_an_image_is_processed_and_encoded_once_and_only_when_it_is_read(monkeypatch):
    """However many phrases are asked for afterwards: vision part, prompt and SAM's encoder are what costs."""
    grounder, seen = build_reader(), []
    model = grounder.model
    processor = grounder.to_sample.image_processor
    prepare = processor.read_image
    monkeypatch.setattr(processor, 'read_image', lambda image: seen.append('processor') or prepare(image))
    for name, module in (
        ('vision', model.lmm.model.visual),
        ('prompt', model.lmm.model),
        ('SAM', model.sam.model.image_encoder),
    ):
        module.register_forward_hook(lambda *_, name=name: seen.append(name))
    read = grounder.read(photo())
    assert isinstance(read, ReadImage)
    assert sorted(seen) == ['SAM', 'processor', 'prompt', 'vision']
    for phrases in (PHRASES, PHRASES[:1], [f'thing {number}' for number in range(70)]):
        read.ground(phrases)
        read.attention(phrases[0])
    assert len(seen) == 4


def test_the_model_is_put_into_evaluation_mode():
    model = tiny_grounder().train()
    assert not build_reader(model).model.training
    assert not model.mask_head.training


def test_split_samples_are_refused():
    with pytest.raises(ValueError, match='to_sample has concat=False, which makes several samples of an image; set it'):
        build_reader(concat=False)


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
    tracker=dict(name_or_path='absent'),  # which a grounder does not load
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
    found = Grounder.from_config(os.path.relpath(config), checkpoint=checkpoint)(photo(), ['a', 'bc'])

    expected = build_reader(trained)(photo(), ['a', 'bc'])
    torch.testing.assert_close(found.refined.in_image(), expected.refined.in_image(), atol=1e-6, rtol=0)


@pytest.mark.parametrize('trained_with', [True, False])
@pytest.mark.parametrize('independent', [True, False])
def test_from_config_reads_phrases_as_the_caller_says_whatever_training_does(
    independent, trained_with, repository, trained, monkeypatch
):
    monkeypatch.chdir(repository)
    lmm, loaders = LOADERS['plain']
    loaders = loaders.replace("prompt='Look.'", f"prompt='Look.', concat=False, independent={trained_with}")
    settings = {} if independent else {'independent': False}
    found = Grounder.from_config(write_config(repository, lmm, loaders), checkpoint='trained.pth', **settings)
    assert (found.to_sample.independent, found.to_sample.concat) == (independent, True)
    expected = build_reader(trained, independent=independent)(photo(), ['a', 'bc'])
    torch.testing.assert_close(
        found(photo(), ['a', 'bc']).refined.in_image(), expected.refined.in_image(), atol=1e-6, rtol=0
    )


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
        Grounder.from_config(write_config(repository, lmm, loaders), checkpoint='trained.pth')


def test_only_a_model_without_a_trained_part_needs_no_checkpoint():
    ground = Grounder.from_config(REPOSITORY / 'configs' / 'shapes' / 'demo_training_free.py', checkpoint=None)
    read = ground.read(photo())
    assert read.ground(['a cat', 'dog']).masks.shape == (2, 90, 60)
    (sample,) = ground.model([read.sample(['a cat', 'dog'])], mode='predict')
    assert sample.mask_attentions.shape[1] == len(read.attention('dog').channels) == 3
    assert sample.text_embeds is None
    with pytest.raises(ValueError, match=r'checkpoint is None, and .*demo\.py. has a part to train'):
        Grounder.from_config(REPOSITORY / 'configs' / 'shapes' / 'demo.py', checkpoint=None)


@pytest.mark.parametrize(
    ('device', 'message'),
    [
        ('gpu', r"device is 'gpu', expected torch's name of one, such as 'cpu' or 'cuda:0'"),
        ('cuda:3', r"device is 'cuda:3', but torch sees 1 CUDA devices"),
        (None, r"device is None, expected torch's name of one"),
    ],
)
def test_a_device_is_checked_before_anything_is_loaded(device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    for load in (lambda: Grounder.from_config('absent.py', checkpoint=None, device=device),
                 lambda: Grounder.from_pretrained('absent', device=device)):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            load()
