"""The types that ``config.json`` of a saved grounder may name, and their settings: a closed list.

It is written out and not read off the classes: a setting that a class gets later is not open to the files of strangers
before somebody has put it here. For each place there are types by name, for each type its settings, for each setting
the kind of its value: Python's types, ``WEIGHTS``, or the types of a part.
"""

from typing import Any

from flmm.families import FAMILIES

WEIGHTS = object()
"""The kind of a value that names weights, or a processor."""
LMM = {'pretrained_lmm': {'name_or_path': WEIGHTS, 'dtype': str}}
SAM = {
    'build_sam': {'model_type': str, 'checkpoint': WEIGHTS},
    'build_small_sam': {
        'image_size': int,
        'patch_size': int,
        'encoder_embed_dim': int,
        'encoder_depth': int,
        'encoder_num_heads': int,
        'encoder_global_attn_indexes': list,
        'window_size': int,
        'prompt_embed_dim': int,
        'decoder_depth': int,
        'decoder_num_heads': int,
        'decoder_mlp_dim': int,
        'checkpoint': WEIGHTS,
    },
    'build_hf_sam': {'name_or_path': WEIGHTS},
}
REFINER = {
    'SAMWrapper': {
        'sam': SAM,
        'use_text': bool,
        'use_mask': bool,
        'use_box': bool,
        'box_of': str,
        'detach_mask_prompt': bool,
        'multimask_output': bool,
    }
}
MASK_HEAD = {
    'UNetHead': {
        'base_channels': int,
        'num_stages': int,
        'enc_num_convs': list | None,
        'dec_num_convs': list | None,
        'upsample_input': int | None,
        'upsample_by': str,
        'normalize_input': bool,
    },
    'AttentionThreshold': {'threshold': float},
}
EXISTENCE = {'ExistenceHead': {'width': int, 'num_mixtures': int}}
MODEL = {
    'lmm': LMM,
    'mask_head': MASK_HEAD,
    'sam': REFINER,
    'existence': EXISTENCE,
    'merge': str,
    'layers': list | None,
    'heads': list | None,
    'coarse_attention': str,
    'padding_cut': str,
    'decode_budget': int,
}
NOT_STORED = (
    'loss_mask',
    'loss_dice',
    'loss_iou',
    'compiled',
    'trained_masks',
    'tracker',
    'data_preprocessor',
    'device_map',
)
"""Of the settings of a model and its LMM those about training, speed or a machine: masks do not depend on them.

Nor do those that a grounder finds depend on ``tracker``: it tracks where it is asked to, by the tracker it is given.
"""
OPTIONAL = ('existence',)
"""Parts that a model may lack."""
IMAGE_PROCESSOR = {'pretrained_model_name_or_path': WEIGHTS, 'prompt_template': str | None}
PATCHES = {
    'min_pixels': int | None,
    'max_pixels': int | None,
    'patch_selection_method': str,
    'alpha': float | list,
    'thresholds': list | None,
    'method': str,
    'laplacian_aggregate': str,
    'blur': int,
    'max_token_size': int,
}
TO_SAMPLE = {
    'prompt': str,
    'independent': bool,
    'lowercase': bool,
    'max_phrase_tokens': int,
    'max_text_tokens': int,
}


def model_types() -> dict[str, dict[str, Any]]:
    """Return the models by name with their settings: those of the families that this process knows."""
    return {family.model.rpartition('.')[2]: MODEL for family in FAMILIES.values()}


def to_sample_types() -> dict[str, dict[str, Any]]:
    """Return the one way from image and phrases to a sample, with the processors of the known families."""
    names = {family.image_processor.rpartition('.')[2] for family in FAMILIES.values()}
    processors = {name: IMAGE_PROCESSOR | (PATCHES if name == 'QwenImageProcessorWrapper' else {}) for name in names}
    return {'RefCOCO2PNG': {**TO_SAMPLE, 'image_processor': processors}}
