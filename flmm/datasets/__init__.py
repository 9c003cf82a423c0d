"""From files on disk to GroundingSample."""

from flmm.datasets.data_loader import collate_grounding, keep_torch_seed
from flmm.datasets.deepseek_vl_image_processor import DeepseekVLImageProcessorWrapper
from flmm.datasets.grounding_dataset import GroundingDataset, Item, Target
from flmm.datasets.image_processor import ImageProcessorWrapper, ProcessedImage
from flmm.datasets.joint_dataset import JointDataset
from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper, LlavaNextImageProcessorWrapper
from flmm.datasets.load_masks import LoadMasks
from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper
from flmm.datasets.refcoco import RefCocoDataset
from flmm.datasets.refcoco_test_sets import RefCocoTestSets
from flmm.datasets.token_batch_sampler import TokenBatchSampler
from flmm.datasets.transforms import PILLoadImageFromFile, RefCOCO2PNG, unlabelled_item

__all__ = [
    'DeepseekVLImageProcessorWrapper',
    'GroundingDataset',
    'ImageProcessorWrapper',
    'Item',
    'JointDataset',
    'LlavaImageProcessorWrapper',
    'LlavaNextImageProcessorWrapper',
    'LoadMasks',
    'PILLoadImageFromFile',
    'ProcessedImage',
    'QwenImageProcessorWrapper',
    'RefCOCO2PNG',
    'RefCocoDataset',
    'RefCocoTestSets',
    'Target',
    'TokenBatchSampler',
    'collate_grounding',
    'keep_torch_seed',
    'unlabelled_item',
]
