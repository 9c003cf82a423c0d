"""Adaptive patches: fewer image tokens where an image is smooth. Depends on torch alone."""

from flmm.apt.importance import compute_importance_maps
from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import PatchSelection
from flmm.apt.patch_tokenizer import PatchTokenizer
from flmm.apt.region_layout import region_layout
from flmm.apt.selection import (
    select_patches_by_budget,
    select_patches_by_threshold,
    select_patches_by_threshold_v2,
)

__all__ = [
    'PatchSelection',
    'PatchTokenizer',
    'TokenLayout',
    'compute_importance_maps',
    'region_layout',
    'select_patches_by_budget',
    'select_patches_by_threshold',
    'select_patches_by_threshold_v2',
]
