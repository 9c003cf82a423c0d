"""F-LMM's model with SAM 2.1 Hiera-L."""

_base_ = './frozen_qwen_sam_l.py'
model = dict(sam=dict(sam=dict(_delete_=True, type='build_hf_sam', name_or_path='facebook/sam2.1-hiera-large')))
