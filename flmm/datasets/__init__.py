"""From files on disk to GroundingSample."""

from flmm.datasets.clip_to_sample import ClipToSample
from flmm.datasets.data_loader import collate_grounding, keep_torch_seed
from flmm.datasets.deepseek_vl_image_processor import DeepseekVLImageProcessorWrapper
from flmm.datasets.grefcoco import GRefCocoDataset
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.grounding_suite import GroundingSuiteDataset
from flmm.datasets.image_processor import ImageProcessorWrapper, ProcessedImage
from flmm.datasets.item import Item, Target
from flmm.datasets.joint_dataset import JointDataset
from flmm.datasets.json_lines import JsonLinesDataset
from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper, LlavaNextImageProcessorWrapper
from flmm.datasets.load_masks import LoadMasks
from flmm.datasets.load_video_masks import LoadVideoMasks, VideoMasks
from flmm.datasets.png import PNGDataset
from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper
from flmm.datasets.reason_seg import ReasonSegDataset
from flmm.datasets.ref_video import RefVideoDataset
from flmm.datasets.refcoco import RefCocoDataset
from flmm.datasets.refcoco_test_sets import RefCocoTestSets
from flmm.datasets.token_batch_sampler import TokenBatchSampler
from flmm.datasets.transforms import PILLoadImageFromFile, RefCOCO2PNG, unlabelled_item

__all__ = [
    'ClipToSample',
    'DeepseekVLImageProcessorWrapper',
    'GRefCocoDataset',
    'GroundingDataset',
    'GroundingSuiteDataset',
    'ImageProcessorWrapper',
    'Item',
    'JointDataset',
    'JsonLinesDataset',
    'LlavaImageProcessorWrapper',
    'LlavaNextImageProcessorWrapper',
    'LoadMasks',
    'LoadVideoMasks',
    'PILLoadImageFromFile',
    'PNGDataset',
    'ProcessedImage',
    'QwenImageProcessorWrapper',
    'ReasonSegDataset',
    'RefCOCO2PNG',
    'RefCocoDataset',
    'RefCocoTestSets',
    'RefVideoDataset',
    'Target',
    'TokenBatchSampler',
    'VideoMasks',
    'collate_grounding',
    'keep_torch_seed',
    'unlabelled_item',
]
