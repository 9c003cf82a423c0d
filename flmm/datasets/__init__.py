"""From files on disk to GroundingSample."""

from flmm.datasets.collate import collate_grounding
from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper
from flmm.datasets.refcoco import RefCocoDataset
from flmm.datasets.refcoco_test_sets import RefCocoTestSets
from flmm.datasets.transforms import LoadMasks, PILLoadImageFromFile, RefCOCO2PNG

__all__ = [
    'LoadMasks',
    'PILLoadImageFromFile',
    'QwenImageProcessorWrapper',
    'RefCOCO2PNG',
    'RefCocoDataset',
    'RefCocoTestSets',
    'collate_grounding',
]
