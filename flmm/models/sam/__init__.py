"""SAM as segment_anything publishes it; the one folder that imports that package."""

from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from flmm.models.sam.attention import use_sdpa
from flmm.models.sam.build import build_sam, build_small_sam, load_weights

__all__ = ['ResizeLongestSide', 'Sam', 'build_sam', 'build_small_sam', 'load_weights', 'use_sdpa']
