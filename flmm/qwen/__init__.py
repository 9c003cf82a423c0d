"""Qwen2-VL and Qwen2.5-VL with adaptive patches. Depends on transformers and flmm.apt alone."""

from flmm.qwen.image_processing import AdaptiveQwen2VLImageProcessor
from flmm.qwen.modeling import AdaptiveQwen2_5_VLForConditionalGeneration, AdaptiveQwen2VLForConditionalGeneration
from flmm.qwen.processing import AdaptiveQwen2_5_VLProcessor, AdaptiveQwen2VLProcessor

__all__ = [
    'AdaptiveQwen2VLForConditionalGeneration',
    'AdaptiveQwen2VLImageProcessor',
    'AdaptiveQwen2VLProcessor',
    'AdaptiveQwen2_5_VLForConditionalGeneration',
    'AdaptiveQwen2_5_VLProcessor',
]
