"""The model: a frozen LMM, a mask head on its attention, SAM to refine."""

from flmm.models.data_preprocessor import GroundingDataPreprocessor
from flmm.models.existence_head import ExistenceHead
from flmm.models.frozen_deepseek_vl import FrozenDeepseekVLSAM
from flmm.models.frozen_llava import FrozenLlavaNextSAM, FrozenLlavaSAM
from flmm.models.frozen_lmm import FrozenLMM
from flmm.models.frozen_qwen import FrozenQwenSAM
from flmm.models.frozen_qwen3 import FrozenQwen3VLSAM
from flmm.models.grounding_model import GroundingModel
from flmm.models.lmm_loading import LMMWithoutWeights, pretrained_lmm, random_lmm
from flmm.models.mask_head.attention_threshold import AttentionThreshold
from flmm.models.mask_head.mask_decoder import UNetHead
from flmm.models.mask_head.mask_refiner import SAMWrapper

__all__ = [
    'AttentionThreshold',
    'ExistenceHead',
    'FrozenDeepseekVLSAM',
    'FrozenLMM',
    'FrozenLlavaNextSAM',
    'FrozenLlavaSAM',
    'FrozenQwen3VLSAM',
    'FrozenQwenSAM',
    'GroundingDataPreprocessor',
    'GroundingModel',
    'LMMWithoutWeights',
    'SAMWrapper',
    'UNetHead',
    'pretrained_lmm',
    'random_lmm',
]
