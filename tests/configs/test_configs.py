"""Every config parses, says what its name says, and its model grounds a sample at reduced depth."""

import importlib
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny_deepseek_vl
import tiny_llava
import tiny_models
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from published_f_lmm import CONFIGS as PUBLISHED_CONFIGS
from tiny_families import make_sample
from transformers import AutoModelForImageTextToText, Sam2Config, Sam2HieraDetConfig, Sam2Model

from flmm.config import read_config
from flmm.engine import check_config_keys
from flmm.families import FAMILIES
from flmm.models.published_lmms import published_config
from flmm.models.sam import SamFrame, hf_build
from flmm.registry import MODELS, TRANSFORMS

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
STORED = [path for path in CONFIGS if path.stem.endswith('_cached') or path.stem == 'demo_existence']
# Named <lmm>_<sam>_<dataset>; the others are those of the demo, of one's own data, and of test sets alone.
NAMED_CONFIGS = [path for path in CONFIGS if path.parent.name not in ('shapes', 'custom', 'zero_shot')]
F_LMM_FOLDERS = ('llava', 'deepseek_vl')
"""Folders of configs for F-LMM's published models."""


class Lmm(NamedTuple):
    """What belongs together in the configs of an LMM."""

    name: str
    model_type: str
    prompt_template: str | None = None
    dtype: str = 'bfloat16'
    device_map: str | None = None


VICUNA = 'USER: <image>\n{prompt} ASSISTANT:'
MISTRAL = '[INST] <image>\n{prompt} [/INST]'
DEEPSEEK = f'{tiny_deepseek_vl.BOS}User: <image>{{prompt}}\n\nAssistant:'
ANSWER = (  # of Qwen3.5, behind thoughts that are closed
    '<|im_start|>user\n<|vision_start|><image><|vision_end|>{prompt}<|im_end|>\n'
    '<|im_start|>assistant\n<think>\n\n</think>\n\n'
)
LMMS = {
    'qwen2_vl_2b': Lmm('Qwen/Qwen2-VL-2B-Instruct', 'qwen2_vl'),
    'qwen2_vl_7b': Lmm('Qwen/Qwen2-VL-7B-Instruct', 'qwen2_vl'),
    'qwen2_5_vl_3b': Lmm('Qwen/Qwen2.5-VL-3B-Instruct', 'qwen2_5_vl'),
    'qwen2_5_vl_7b': Lmm('Qwen/Qwen2.5-VL-7B-Instruct', 'qwen2_5_vl'),
    'qwen2_5_vl_32b': Lmm('Qwen/Qwen2.5-VL-32B-Instruct', 'qwen2_5_vl'),
    'qwen2_5_vl_72b': Lmm('Qwen/Qwen2.5-VL-72B-Instruct', 'qwen2_5_vl', device_map='auto'),
    'llava_1_5_7b': Lmm('llava-hf/llava-1.5-7b-hf', 'llava', VICUNA),
    'llava_1_6_vicuna_7b': Lmm('llava-hf/llava-v1.6-vicuna-7b-hf', 'llava_next', VICUNA),
    'llava_1_6_mistral_7b': Lmm('llava-hf/llava-v1.6-mistral-7b-hf', 'llava_next', MISTRAL),
    'deepseek_vl_1_3b': Lmm('deepseek-community/deepseek-vl-1.3b-chat', 'deepseek_vl', DEEPSEEK),
    'deepseek_vl_7b': Lmm('deepseek-community/deepseek-vl-7b-chat', 'deepseek_vl_hybrid', DEEPSEEK),
    'qwen3_vl_4b': Lmm('Qwen/Qwen3-VL-4B-Instruct', 'qwen3_vl'),
    'qwen3_vl_8b': Lmm('Qwen/Qwen3-VL-8B-Instruct', 'qwen3_vl'),
    'qwen3_5_4b': Lmm('Qwen/Qwen3.5-4B', 'qwen3_5', ANSWER),
    'qwen3_5_9b': Lmm('Qwen/Qwen3.5-9B', 'qwen3_5', ANSWER),
    'demo': Lmm('assets/demo_lmm', 'qwen2_5_vl', dtype='float32'),
}
GROUNDED = [name for name in LMMS if name not in ('demo', 'llava_1_6_vicuna_7b', 'qwen2_5_vl_32b', 'qwen2_5_vl_72b')]
"""One for each class and size: LLaVA-1.6 on Vicuna has the classes of that on Mistral and of LLaVA-1.5. Two layers of
Qwen2.5-VL-72B would take 11 GB."""
FIRST_OF_THEIR_KIND = {LMMS[name].model_type: name for name in reversed(GROUNDED)}.values()
PROCESSORS = {  # tiny, but with squares of the published size
    **dict.fromkeys(tiny_models.FAMILIES, tiny_models.tiny_processor),
    **dict.fromkeys(('llava', 'llava_next'), tiny_llava.tiny_processor),
    'deepseek_vl': tiny_deepseek_vl.tiny_processor,
    'deepseek_vl_hybrid': lambda model_type: tiny_deepseek_vl.tiny_processor(model_type, high_res=1024),
}
GRIDS = {  # rows and columns of attention to an image of 56 x 84 px
    **dict.fromkeys(tiny_models.FAMILIES, (2, 3)),
    **dict.fromkeys(('llava', 'deepseek_vl', 'deepseek_vl_hybrid'), (24, 24)),
    'llava_next': (24, 36),
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
    'refcocog_google': ('refcocog/instances.json', 'refcocog/refs(google).p', ('val',)),
    'grefcoco': ('grefcoco/instances.json', 'grefcoco/grefs(unc).json', ('val', 'testA', 'testB')),
}
VIDEOS = {  # names in training, validation and test
    'mevis': ['mevis_train', 'mevis_valid_u', 'mevis_valid_u'],
    'ref_youtube_vos': ['ref_youtube_vos_train', 'ref_davis_valid', 'ref_davis_valid'],
}
JOINT = 'refcoco_png'
"""RefCOCO, RefCOCO+, RefCOCOg and PNG together."""
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
    lmm = LMMS[_lmm_of(path)]
    family = FAMILIES[lmm.model_type]
    assert config.model.type == family.model.rpartition('.')[2]
    kinds = {'demo_untrained_lmm': 'random_lmm'}
    kind = 'LMMWithoutWeights' if path in STORED else kinds.get(path.stem, 'pretrained_lmm')
    expected = {'type': kind, 'name_or_path': lmm.name, 'dtype': lmm.dtype}
    placed = {} if lmm.device_map is None else {'device_map': lmm.device_map}
    assert config.model.lmm == expected | placed
    for dataset in _datasets(config):  # processor and LMM belong together
        processor = _to_sample(dataset).image_processor
        assert processor.type == family.image_processor.rpartition('.')[2]
        assert processor.pretrained_model_name_or_path == lmm.name
        assert processor.get('prompt_template') == lmm.prompt_template
    together = [dataset.pipeline[-1].get('concat', True) for dataset in _datasets(config)]
    judges_alone = path.stem in ('demo_no_target', 'demo_existence')  # the threshold is chosen on phrases by themselves
    assert together == [True, not judges_alone, path.parent.name != 'zero_shot']
    names = ('FiniteCheckHook', 'FrozenPartsHook', 'RandomStateHook', 'PlainCheckpointHook')
    assert {*names} <= {hook.type for hook in config.default_hooks.values()}
    assert 'custom_hooks' not in config  # free for users: a config that sets them loses nothing


def test_there_are_configs_of_every_lmm():
    assert {_lmm_of(path) for path in CONFIGS} == LMMS.keys()
    assert {lmm.model_type for lmm in LMMS.values()} == FAMILIES.keys()


@pytest.mark.parametrize('path', NAMED_CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_what_its_name_says(path):
    _, sam, dataset_name = _parts_of_name(path)
    config = Config.fromfile(path)
    assert config.model.sam.sam == SAMS[sam]
    if dataset_name == JOINT:
        check_joint(config)
        return
    if dataset_name == 'grefcoco':
        check_grefcoco(config)
        return
    if dataset_name in VIDEOS:
        assert [dataset.name for dataset in _datasets(config)] == VIDEOS[dataset_name]
        return
    ann_file, split_file, splits = DATASETS[dataset_name]
    assert {(dataset.ann_file, dataset.split_file) for dataset in _datasets(config)} == {(ann_file, split_file)}
    _, val, test = _datasets(config)
    assert tuple(test.splits) == splits
    assert test.name == dataset_name
    assert val.name == f'{dataset_name}_val_first_sentence'


def check_joint(config):
    train, val, test = _datasets(config)
    assert {train.type, test.type} == {'JointDataset'}
    files = {name: DATASETS[name] for name in ('refcoco', 'refcoco_plus', 'refcocog')}
    parts = {part.name: part for part in train.datasets}
    assert parts.keys() == {f'{name}_train' for name in (*files, 'png')}
    for name, (ann_file, split_file, _) in files.items():
        part = parts[f'{name}_train']
        found = (part.type, part.ann_file, part.split_file, part.split, part.text_mode)
        assert found == ('RefCocoDataset', ann_file, split_file, 'train', 'random')
        assert part.data_prefix == {'img_path': 'train2014/'}
    assert (val.name, val.ann_file, val.split_file) == ('refcoco_val_first_sentence', *files['refcoco'][:2])
    sets = {part.name: part for part in test.datasets}
    assert sets.keys() == {*files, 'grefcoco', 'png_val'}
    for name, (ann_file, split_file, splits) in {**files, 'grefcoco': DATASETS['grefcoco']}.items():
        part = sets[name]
        assert (part.type, part.ann_file, part.split_file) == ('RefCocoTestSets', ann_file, split_file)
        assert part.splits == splits
        assert part.get('dataset_type') == ('GRefCocoDataset' if name == 'grefcoco' else None)
    for part, split in ((parts['png_train'], 'train2017'), (sets['png_val'], 'val2017')):
        assert part.type == 'PNGDataset'
        assert part.ann_file == f'annotations/png_coco_{split}.json'
        assert part.panoptic_file == f'annotations/panoptic_{split}.json'
        assert part.data_prefix == {'img_path': f'{split}/', 'panoptic_path': f'annotations/panoptic_{split}/'}
    assert not parts['png_train'].get('test_mode')
    assert sets['png_val'].test_mode


def check_grefcoco(config):
    train, val, test = _datasets(config)
    grefcoco, refcoco = test.datasets
    check_grefcoco_files(train, val, grefcoco)
    assert (refcoco.name, refcoco.ann_file, refcoco.split_file, refcoco.splits) == ('refcoco', *DATASETS['refcoco'])
    assert not {'dataset_type', 'protocols'} & refcoco.keys()  # both protocols
    assert config.model.existence == {'type': 'ExistenceHead'}
    assert config.default_hooks.calibrate_existence == {'type': 'CalibrateExistenceHook'}


def check_grefcoco_files(train, val, test):
    ann_file, split_file, splits = DATASETS['grefcoco']
    for dataset in (train, val, test):
        assert (dataset.ann_file, dataset.split_file, dataset.data_root) == (ann_file, split_file, 'data/coco/')
    assert train.type == val.type == test.dataset_type == 'GRefCocoDataset'
    assert (train.split, train.text_mode, val.split, val.text_mode) == ('train', 'random', 'val', 'select_first')
    assert 'skip_no_target' not in train
    assert (val.name, test.name, test.splits) == ('grefcoco_val_first_sentence', 'grefcoco', splits)
    assert test.protocols == ('every_sentence',)


def test_parts_of_joint_data_have_no_pipeline_of_their_own():
    """So that one override reaches all of them."""
    path = ROOT / 'qwen' / 'qwen2_5_vl_3b_sam_l_refcoco_png.py'
    overrides = {f'{kind}_dataloader.dataset.pipeline.2.prompt': kind for kind in ('train', 'test')}
    config = read_config(path, overrides)
    for kind in ('train', 'test'):
        dataset = config[f'{kind}_dataloader'].dataset
        assert [step.type for step in dataset.pipeline] == ['PILLoadImageFromFile', 'LoadMasks', 'RefCOCO2PNG']
        assert dataset.pipeline[2].prompt == kind
        assert not any('pipeline' in part for part in dataset.datasets)


def test_the_base_of_grefcoco_names_its_files():
    check_grefcoco_files(*_datasets(Config.fromfile(ROOT / '_base_' / 'datasets' / 'grefcoco.py')))


def test_every_published_model_of_f_lmm_has_configs():
    for name in PUBLISHED_CONFIGS.values():
        for dataset in ('', '_plus', 'g', '_png'):
            assert Path(ROOT, f'{name}{dataset}.py') in CONFIGS


@pytest.mark.parametrize('path', NAMED_CONFIGS, ids=lambda path: path.stem)
def test_the_settings_of_f_lmm_are_those_of_its_models(path):
    config, (lmm, _, dataset_name) = Config.fromfile(path), _parts_of_name(path)
    is_published = path.parent.name in F_LMM_FOLDERS
    optimizer, loader = config.optim_wrapper.optimizer, config.train_dataloader
    assert (optimizer.lr, loader.batch_size) == ((2e-4, 2) if lmm == 'deepseek_vl_1_3b' else (1e-4, 1))
    assert (optimizer.betas, optimizer.weight_decay, config.optim_wrapper.clip_grad.max_norm) == ((0.9, 0.999), 0.01, 1)
    assert config.train_cfg.max_epochs == 8
    prompts = {_to_sample(dataset).prompt for dataset in _datasets(config)}
    shown = 'video' if config.train_dataloader.dataset.type == 'RefVideoDataset' else 'image'
    assert prompts == {f'Please give me a description of the {shown}.'}
    assert config.model.mask_head.get('upsample_by', 'size') == ('scale_factor' if is_published else 'size')
    assert config.model.get('padding_cut', 'exact') == ('whole_cells' if is_published else 'exact')
    assert config.optim_wrapper.type == ('AmpOptimWrapper' if is_published else 'OptimWrapper')
    assert config.optim_wrapper.get('dtype') == ('bfloat16' if is_published else None)
    if dataset_name in VIDEOS:
        return
    test = config.test_dataloader.dataset
    sets = [part for part in test.get('datasets', [test]) if part.type == 'RefCocoTestSets' and part.name != 'grefcoco']
    assert len(sets) == (3 if dataset_name == JOINT else 1)
    assert {part.get('protocols') for part in sets} == {('first_sentence',) if is_published else None}


@pytest.mark.parametrize('path', STORED, ids=lambda path: path.stem)
def test_stored_features_are_those_of_the_config_that_it_starts_from(path):
    config = Config.fromfile(path)
    is_head_alone = path.stem == 'demo_existence'
    plain = path.with_stem('demo_no_target' if is_head_alone else path.stem.removesuffix('_cached'))
    plain = Config.fromfile(plain)
    for loader in ('train_dataloader', 'val_dataloader'):
        stored = config[loader].dataset
        assert stored.type == 'CachedFeatures'
        assert stored.dataset == plain[loader].dataset
        assert stored.model == plain.model
    assert config.train_dataloader.dataset.folder != config.val_dataloader.dataset.folder
    assert config.test_dataloader == plain.test_dataloader
    masks = {'trained_masks': 'work_dirs/demo/epoch_1.pth'} if is_head_alone else {}
    assert {**config.model, 'lmm': None} == {**plain.model, 'lmm': None, **masks}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_prunes_as_its_name_says_and_else_not_at_all(path):
    names = [name for name in PRUNED if path.stem.endswith(f'_{name}')]
    in_training, in_tests = PRUNED[names[0]] if names else [EDGES] * 2
    train, val, test = (_to_sample(dataset).image_processor for dataset in _datasets(Config.fromfile(path)))
    if not FAMILIES[LMMS[_lmm_of(path)].model_type].image_processor.endswith('.QwenImageProcessorWrapper'):
        assert not names
        assert train == val == test
        assert train.keys() == {'type', 'pretrained_model_name_or_path', 'prompt_template'}
        return
    given = ('type', 'pretrained_model_name_or_path', 'prompt_template')  # tested above
    where = {name: train[name] for name in given if name in train}
    assert train == {**where, **in_training}
    assert val == test == {**where, **in_tests}


@pytest.mark.parametrize(
    'path',
    [
        path
        for path in NAMED_CONFIGS
        if ('_sam_l_' in path.stem or '_sam_h_' in path.stem) and not path.stem.endswith((*PRUNED, 'cached'))
    ],
    ids=lambda path: path.stem,
)
def test_the_model_of_a_config_builds_at_full_size(path, flmm_scope):
    config = Config.fromfile(path)
    published = published_config(config.model.lmm.name_or_path)
    config.model.sam.sam.checkpoint = None
    with torch.device('meta'):  # shapes without memory
        weights = AutoModelForImageTextToText.from_config(published)
        model = MODELS.build({**config.model, 'lmm': weights})
    layers, heads = published.text_config.num_hidden_layers, published.text_config.num_attention_heads
    read = published.text_config.to_dict().get('layer_types', ['full_attention'] * layers).count('full_attention')
    channels = read * heads * model.num_views
    assert model.mask_head.state_dict()['encoder.0.0.convs.0.conv.weight'].shape == (64, channels, 3, 3)
    assert model.text_proj.weight.shape == (256, published.text_config.hidden_size)
    assert model.text_layer_weights.shape == (layers,)
    assert (model.existence_head is not None) == path.stem.endswith('_grefcoco')
    if model.existence_head is not None:
        assert model.existence_head.read_maps[0].in_features == channels
        assert model.existence_head.read_tokens[0].in_features % published.text_config.hidden_size == 0
        assert model.existence_head.layer_weights.shape[-1] == layers
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


@pytest.mark.parametrize(
    'name',
    [
        *(
            # One of each kind of LMM is quick enough; the others differ from it in their sizes.
            pytest.param(f'{lmm}_sam_l_refcoco', marks=() if lmm in FIRST_OF_THEIR_KIND else pytest.mark.slow)
            for lmm in GROUNDED
        ),
        'qwen2_vl_2b_sam_h_refcoco',
        pytest.param('qwen2_5_vl_3b_sam_l_grefcoco', marks=pytest.mark.slow),
    ],
)
def test_the_model_of_a_config_grounds_a_sample_at_reduced_depth(name, monkeypatch, flmm_scope):
    (path,) = ROOT.rglob(f'{name}.py')
    lmm = _lmm_of(path)
    config, model_type = Config.fromfile(path), LMMS[lmm].model_type
    processor = PROCESSORS[model_type](model_type)
    wrapper = TRANSFORMS.build(
        {**config.train_dataloader.dataset.pipeline[-1].image_processor, 'pretrained_model_name_or_path': processor}
    )
    sample = make_sample(wrapper, ['a', 'b c'], size=(56, 84))
    published = published_config(LMMS[lmm].name, vocab_size=300, image_token_id=wrapper.image_token_id, depth=1)
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
    channels = published.text_config.num_attention_heads * model.num_views
    assert found.mask_attentions.shape == (2, channels, *GRIDS[model_type])
    assert found.text_embeds[1].shape == (len(wrapper.encode_text('b c')), 256)
    assert found.sam_pred_masks.shape == (2, 56, 84)
    assert found.sam_pred_masks.isfinite().all()
    if name.endswith('_grefcoco'):
        assert found.existence.shape == found.exists.shape == (2,)
        assert 0 < float(found.existence.min()) <= float(found.existence.max()) < 1
    else:
        assert found.exists is None


def test_own_data_is_read_by_split_and_the_six_pictures_all_at_once():
    config = Config.fromfile(ROOT / 'custom' / 'qwen2_5_vl_3b_sam_l.py')
    found = [(each.type, each.data_root, each.ann_file, each.split) for each in _datasets(config)]
    assert found == [('JsonLinesDataset', 'data/mine/', 'data.jsonl', split) for split in ('train', 'val', 'test')]
    assert not any('split_file' in dataset for dataset in _datasets(config))
    config = Config.fromfile(ROOT / 'custom' / 'demo_six_pictures.py')
    assert [(each.data_root, each.split) for each in _datasets(config)] == [('data/six_pictures/', None)] * 3


def test_test_sets_alone():
    config = Config.fromfile(ROOT / 'zero_shot' / 'qwen2_5_vl_3b_sam_l.py')
    dataset = config.test_dataloader.dataset
    assert [part.name for part in dataset.datasets] == ['reason_seg_val', 'reason_seg_test', 'grounding_suite']
    assert [part.data_prefix.img_path for part in dataset.datasets] == ['val/', 'test/', '']
    pipelines = [part.get('pipeline', dataset.pipeline) for part in dataset.datasets]
    assert [pipeline[0].get('orientation') for pipeline in pipelines] == ['apply', 'apply', None]
    assert [pipeline[-1].concat for pipeline in pipelines] == [False] * 3
    assert config.train_dataloader.dataset.type == 'RefCocoDataset'


def _to_sample(dataset):
    """What lays phrases out: the last step, or of videos what is in it."""
    last = dataset.pipeline[-1]
    return last.get('to_sample', last)


def _datasets(config):
    """Those that are read of files: stored features name theirs."""
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    return [loader.dataset.get('dataset', loader.dataset) for loader in loaders]


def _lmm_of(path):
    return next(name for name in LMMS if path.stem.startswith(name))


def _parts_of_name(path):
    lmm = _lmm_of(path)
    stem = path.stem.removeprefix(f'{lmm}_').removesuffix('_cached')
    stem = stem.removesuffix(next((f'_{name}' for name in PRUNED if stem.endswith(f'_{name}')), ''))
    sam = next(name for name in SAMS if stem.startswith(f'{name}_'))
    return lmm, sam, stem.removeprefix(f'{sam}_')
