"""From files on disk to GroundingSample.

Names are imported when first used: ``flmm.datasets.shapes`` needs neither mmdet nor transformers, and should not wait
for them.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    'LoadMasks': 'transforms',
    'PILLoadImageFromFile': 'transforms',
    'QwenImageProcessorWrapper': 'qwen_image_processor',
    'RefCOCO2PNG': 'transforms',
    'RefCocoDataset': 'refcoco',
    'RefCocoTestSets': 'refcoco_test_sets',
    'collate_grounding': 'collate',
    'keep_torch_seed': 'worker_seeds',
    'unlabelled_item': 'transforms',
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_MODULE_OF[name]}'), name)
