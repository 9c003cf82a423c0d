"""F-LMM on RefCOCO with SAM ViT-L; a config adds the LMM."""

_base_ = [
    './default_runtime.py',
    './schedules/adamw_8e.py',
    './datasets/refcoco.py',
    './models/frozen_lmm_sam_l.py',
]
