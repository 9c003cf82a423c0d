"""Qwen-VL models with adaptive patches. Depends on transformers and flmm.apt alone."""

from flmm.qwen.image_processing import AdaptiveQwen2VLImageProcessor
from flmm.qwen.modeling import (
    AdaptiveQwen2_5_VLForConditionalGeneration,
    AdaptiveQwen2VLForConditionalGeneration,
    AdaptiveQwen3_5ForConditionalGeneration,
    AdaptiveQwen3VLForConditionalGeneration,
)
from flmm.qwen.processing import AdaptiveQwen2_5_VLProcessor, AdaptiveQwen2VLProcessor, AdaptiveQwen3VLProcessor
from flmm.qwen.resize import resize_image

__all__ = [
    'AdaptiveQwen2VLForConditionalGeneration',
    'AdaptiveQwen2VLImageProcessor',
    'AdaptiveQwen2VLProcessor',
    'AdaptiveQwen2_5_VLForConditionalGeneration',
    'AdaptiveQwen2_5_VLProcessor',
    'AdaptiveQwen3VLForConditionalGeneration',
    'AdaptiveQwen3VLProcessor',
    'AdaptiveQwen3_5ForConditionalGeneration',
    'resize_image',
]
