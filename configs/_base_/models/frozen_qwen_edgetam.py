"""F-LMM's model with EdgeTAM, which needs timm: pip install flmm[edgetam]."""

_base_ = './frozen_qwen_sam_l.py'
model = dict(sam=dict(sam=dict(_delete_=True, type='build_hf_sam', name_or_path='yonigozlan/EdgeTAM-hf')))
