"""F-LMM on RefCOCO, RefCOCO+, RefCOCOg and PNG together with SAM ViT-L; a config adds the LMM."""

_base_ = ['./f_lmm.py', './datasets/refcoco_png.py']
