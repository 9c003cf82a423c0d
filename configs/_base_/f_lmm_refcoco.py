"""F-LMM on RefCOCO with SAM ViT-L; a config adds the LMM."""

_base_ = ['./f_lmm.py', './datasets/refcoco.py']
