"""Qwen2.5-VL-3B with SAM 2.1 Hiera-L on RefCOCO."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
model = dict(sam=dict(sam=dict(_delete_=True, type='build_hf_sam', name_or_path='facebook/sam2.1-hiera-large')))
