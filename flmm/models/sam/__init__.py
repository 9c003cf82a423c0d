"""SAMs, published by segment_anything and transformers; the one folder that imports them."""

from flmm.models.sam.attention import use_sdpa
from flmm.models.sam.backend import SamBackend
from flmm.models.sam.build import build_sam, build_small_sam, load_weights
from flmm.models.sam.clip_tracker import ClipTracker
from flmm.models.sam.frame import SamFrame
from flmm.models.sam.hf_build import build_hf_sam
from flmm.models.sam.hf_sam2 import HfSam2
from flmm.models.sam.hf_sam_hq import HfSamHQ
from flmm.models.sam.segment_anything_sam import SegmentAnythingSam

__all__ = [
    'ClipTracker',
    'HfSam2',
    'HfSamHQ',
    'SamBackend',
    'SamFrame',
    'SegmentAnythingSam',
    'build_hf_sam',
    'build_sam',
    'build_small_sam',
    'load_weights',
    'use_sdpa',
]
