"""F-LMM's model with SAM-HQ ViT-L."""

_base_ = './frozen_qwen_sam_l.py'
model = dict(sam=dict(sam=dict(_delete_=True, type='build_hf_sam', name_or_path='syscv-community/sam-hq-vit-large')))
