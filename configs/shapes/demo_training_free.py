"""The demo without training: 3 heads of 24 that tools/select_heads.py --by localization ranked first, and SAM."""

_base_ = './demo.py'
model = dict(
    heads=[(2, 0), (3, 1), (3, 3)],
    mask_head=dict(_delete_=True, type='AttentionThreshold'),
    sam=dict(use_text=False, use_mask=False, box_of='largest_component'),
)
