"""Every config parses, says what its name says, and its model grounds a sample at reduced depth."""

import importlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_samples import tiny_sample
from transformers import AutoModelForImageTextToText, Sam2Config, Sam2HieraDetConfig, Sam2Model

from flmm.engine import check_config_keys
from flmm.models.published_lmms import published_config
from flmm.models.sam import SamFrame, hf_build
from flmm.registry import MODELS

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
QWEN_CONFIGS = [path for path in CONFIGS if path.parent.name == 'qwen']
LMMS = {
    'qwen2_vl_2b': 'Qwen/Qwen2-VL-2B-Instruct',
    'qwen2_vl_7b': 'Qwen/Qwen2-VL-7B-Instruct',
    'qwen2_5_vl_3b': 'Qwen/Qwen2.5-VL-3B-Instruct',
    'qwen2_5_vl_7b': 'Qwen/Qwen2.5-VL-7B-Instruct',
}
SAMS = {
    'sam_l': {'type': 'build_sam', 'model_type': 'vit_l', 'checkpoint': 'checkpoints/sam_vit_l_0b3195.pth'},
    'sam_h': {'type': 'build_sam', 'model_type': 'vit_h', 'checkpoint': 'checkpoints/sam_vit_h_4b8939.pth'},
    'sam_hq_l': {'type': 'build_hf_sam', 'name_or_path': 'syscv-community/sam-hq-vit-large'},
    'sam2_1_l': {'type': 'build_hf_sam', 'name_or_path': 'facebook/sam2.1-hiera-large'},
    'edgetam': {'type': 'build_hf_sam', 'name_or_path': 'yonigozlan/EdgeTAM-hf'},
}
SAM2_1_L = {  # facebook's sam2.1_hiera_l.yaml
    'hidden_size': 144, 'num_attention_heads': 2, 'embed_dim_per_stage': [144, 288, 576, 1152],
    'num_attention_heads_per_stage': [2, 4, 8, 16], 'blocks_per_stage': [2, 6, 36, 4],
    'global_attention_blocks': [23, 33, 43], 'window_size_per_stage': [8, 4, 16, 8],
}  # fmt: skip
DATASETS = {
    'refcoco': ('refcoco/instances.json', 'refcoco/refs(unc).p', ('val', 'testA', 'testB')),
    'refcoco_plus': ('refcoco+/instances.json', 'refcoco+/refs(unc).p', ('val', 'testA', 'testB')),
    'refcocog': ('refcocog/instances.json', 'refcocog/refs(umd).p', ('val', 'test')),
}
EDGES = {'method': 'laplacian', 'blur': 5, 'max_token_size': 2}
PRUNED = {  # what a config's name ends in -> how it trains, how it tests
    'budget_50': [{'patch_selection_method': 'budget', 'alpha': 0.5, **EDGES}] * 2,
    'budget_30': [{'patch_selection_method': 'budget', 'alpha': 0.3, **EDGES}] * 2,
    'random_budget': [{'patch_selection_method': 'budget', 'alpha': alpha, **EDGES} for alpha in ((0.3, 1.0), 0.3)],
    'v1': [{'patch_selection_method': 'v1', 'method': 'entropy', 'blur': 1, 'max_token_size': 4}] * 2,
    'v2': [
        {'patch_selection_method': 'v2', 'alpha': 1.0, 'method': 'upsample_mse', 'blur': 5, 'max_token_size': 4},
    ]
    * 2,
}


@pytest.fixture
def flmm_scope():
    with DefaultScope.overwrite_default_scope('flmm'):
        yield


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_parses_and_states_all_that_a_runner_needs(path):
    config = Config.fromfile(path)
    check_config_keys(config)
    assert config.default_scope == 'flmm'
    assert config.model.type == 'FrozenQwenSAM'
    names = {dataset.pipeline[-1].image_processor.pretrained_model_name_or_path for dataset in _datasets(config)}
    assert names == {config.model.lmm.name_or_path}  # processor and LMM belong together
    assert all(dataset.pipeline[-1].get('concat', True) for dataset in _datasets(config))
    names = ('FiniteCheckHook', 'FrozenPartsHook', 'RandomStateHook', 'PlainCheckpointHook')
    assert {*names} <= {hook.type for hook in config.default_hooks.values()}
    assert 'custom_hooks' not in config  # free for users: a config that sets them loses nothing


@pytest.mark.parametrize('path', QWEN_CONFIGS, ids=lambda path: path.stem)
def test_a_qwen_config_is_what_its_name_says(path):
    lmm, sam, dataset_name = _parts_of_name(path)
    config = Config.fromfile(path)
    kind = 'LMMWithoutWeights' if path.stem.endswith('_cached') else 'pretrained_lmm'
    assert config.model.lmm == {'type': kind, 'name_or_path': LMMS[lmm], 'dtype': 'bfloat16'}
    assert config.model.sam.sam == SAMS[sam]
    ann_file, split_file, splits = DATASETS[dataset_name]
    assert {(dataset.ann_file, dataset.split_file) for dataset in _datasets(config)} == {(ann_file, split_file)}
    _, val, test = _datasets(config)
    assert tuple(test.splits) == splits
    assert test.name == dataset_name
    assert val.name == f'{dataset_name}_val_first_sentence'


@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if path.stem.endswith('_cached')], ids=lambda path: path.stem
)
def test_stored_features_are_those_of_the_config_that_it_starts_from(path):
    config = Config.fromfile(path)
    plain = Config.fromfile(path.with_stem(path.stem.removesuffix('_cached')))
    for loader in ('train_dataloader', 'val_dataloader'):
        stored = config[loader].dataset
        assert stored.type == 'CachedFeatures'
        assert stored.dataset == plain[loader].dataset
        assert stored.model == plain.model
    assert config.train_dataloader.dataset.folder != config.val_dataloader.dataset.folder
    assert config.test_dataloader == plain.test_dataloader
    assert {**config.model, 'lmm': None} == {**plain.model, 'lmm': None}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_prunes_as_its_name_says_and_else_not_at_all(path):
    names = [name for name in PRUNED if path.stem.endswith(f'_{name}')]
    in_training, in_tests = PRUNED[names[0]] if names else [EDGES] * 2
    train, val, test = (dataset.pipeline[-1].image_processor for dataset in _datasets(Config.fromfile(path)))
    where = {'type': 'QwenImageProcessorWrapper', 'pretrained_model_name_or_path': train.pretrained_model_name_or_path}
    assert train == {**where, **in_training}
    assert val == test == {**where, **in_tests}


@pytest.mark.parametrize(
    'path',
    [
        path
        for path in QWEN_CONFIGS
        if ('_sam_l_' in path.stem or '_sam_h_' in path.stem) and not path.stem.endswith((*PRUNED, 'cached'))
    ],
    ids=lambda path: path.stem,
)
def test_the_model_of_a_qwen_config_builds_at_full_size(path, flmm_scope):
    config = Config.fromfile(path)
    published = published_config(config.model.lmm.name_or_path)
    config.model.sam.sam.checkpoint = None
    with torch.device('meta'):  # shapes without memory
        weights = AutoModelForImageTextToText.from_config(published)
        model = MODELS.build({**config.model, 'lmm': weights})
    layers, heads = published.text_config.num_hidden_layers, published.text_config.num_attention_heads
    assert model.mask_head.state_dict()['encoder.0.0.convs.0.conv.weight'].shape == (64, layers * heads, 3, 3)
    assert model.text_proj.weight.shape == (256, published.text_config.hidden_size)
    assert model.text_layer_weights.shape == (layers,)
    assert len(model.sam.model.image_encoder.blocks) == {'vit_l': 24, 'vit_h': 32}[config.model.sam.sam.model_type]


def test_the_model_with_sam2_1_builds_at_full_size(monkeypatch, flmm_scope):
    config = Config.fromfile(ROOT / 'qwen' / 'qwen2_5_vl_3b_sam2_1_l_refcoco.py')
    vision = {'backbone_config': Sam2HieraDetConfig(**SAM2_1_L), 'backbone_channel_list': [1152, 576, 288, 144]}
    monkeypatch.setattr(hf_build, 'load_sam', lambda name: Sam2Model(Sam2Config(vision_config=vision)))
    with torch.device('meta'):
        weights = AutoModelForImageTextToText.from_config(published_config(config.model.lmm.name_or_path))
        model = MODELS.build({**config.model, 'lmm': weights})
    assert model.text_proj.weight.shape == (256, 2048)
    assert model.sam.model.frame == SamFrame(side=1024, squashed=True)
    assert model.sam.model.embedding_shapes == {
        'image': (256, 64, 64),
        'stride_8': (64, 128, 128),
        'stride_4': (32, 256, 256),
    }
    encoder, whole = model.sam.model.image_encoder, model.sam.model
    assert round(sum(parameter.numel() for parameter in encoder.parameters()) / 1e6) == 213
    assert round(sum(parameter.numel() for parameter in whole.parameters()) / 1e6) == 217


@pytest.mark.parametrize(('lmm', 'sam'), [*((lmm, 'sam_l') for lmm in LMMS), ('qwen2_vl_2b', 'sam_h')])
def test_the_model_of_a_qwen_config_grounds_a_sample_at_reduced_depth(lmm, sam, monkeypatch, flmm_scope):
    config = Config.fromfile(ROOT / 'qwen' / f'{lmm}_{sam}_refcoco.py')
    sample = tiny_sample(['a', 'b c'], size=(56, 84))
    published = published_config(
        LMMS[lmm], vocab_size=300, image_token_id=int(sample.input_ids[sample.views[0].columns[0]]), depth=1
    )
    builders = importlib.import_module('segment_anything.build_sam')  # the package hides it behind a function
    full_build = builders._build_sam
    monkeypatch.setattr(
        builders,
        '_build_sam',
        lambda **kwargs: full_build(**{**kwargs, 'encoder_depth': 1, 'encoder_global_attn_indexes': []}),
    )
    config.model.sam.sam.checkpoint = None
    torch.manual_seed(0)
    weights = AutoModelForImageTextToText.from_config(published, dtype=torch.bfloat16)
    model = MODELS.build({**config.model, 'lmm': weights})
    (found,) = model([sample], mode='predict')
    assert found.mask_attentions.shape == (2, published.text_config.num_attention_heads, 2, 3)
    assert found.text_embeds[1].shape == (3, 256)
    assert found.sam_pred_masks.shape == (2, 56, 84)
    assert found.sam_pred_masks.isfinite().all()


def _datasets(config):
    """Those that are read of files: stored features name theirs."""
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    return [loader.dataset.get('dataset', loader.dataset) for loader in loaders]


def _parts_of_name(path):
    lmm = next(name for name in LMMS if path.stem.startswith(name))
    stem = path.stem.removeprefix(f'{lmm}_').removesuffix('_cached')
    stem = stem.removesuffix(next((f'_{name}' for name in PRUNED if stem.endswith(f'_{name}')), ''))
    sam, dataset = stem.split('_refcoco')
    return lmm, sam, f'refcoco{dataset}'
