"""F-LMM on Ref-YouTube-VOS with SAM ViT-L; a config adds the LMM."""

_base_ = ['./schedules/adamw_8e.py', './models/frozen_lmm_sam_l.py', './datasets/ref_youtube_vos.py']
