"""F-LMM with SAM ViT-L; a config adds the data and the LMM."""

_base_ = ['./default_runtime.py', './schedules/adamw_8e.py', './models/frozen_lmm_sam_l.py']
