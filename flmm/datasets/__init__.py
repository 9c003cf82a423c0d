"""From files on disk to GroundingSample.

Names are imported when first used: ``flmm.datasets.shapes`` needs neither mmdet nor transformers, and should not wait
for them.
"""

from flmm.lazy_exports import lazy_exports

_MODULE_OF = {
    'CachedFeatures': 'cached_features',
    'DeepseekVLImageProcessorWrapper': 'deepseek_vl_image_processor',
    'LoadMasks': 'load_masks',
    'PILLoadImageFromFile': 'transforms',
    'QwenImageProcessorWrapper': 'qwen_image_processor',
    'RefCOCO2PNG': 'transforms',
    'RefCocoDataset': 'refcoco',
    'RefCocoTestSets': 'refcoco_test_sets',
    'TokenBatchSampler': 'token_batch_sampler',
    'cached_features_in': 'cached_features',
    'collate_grounding': 'collate',
    'keep_torch_seed': 'worker_seeds',
    'unlabelled_item': 'transforms',
}
__all__ = list(_MODULE_OF)
__getattr__ = lazy_exports(__name__, _MODULE_OF)
