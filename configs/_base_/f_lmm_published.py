"""F-LMM as its published LLaVA and DeepSeek-VL models have it; a config adds the data, and the LMM with F-LMM's prompt.

What differs from f_lmm.py stands here, and rates and batch sizes that differ in a model's config. Still different from
F-LMM: sizes that it truncates are rounded, as DeepSeek-VL's processor in transformers does.
docs/coming_from_f_lmm.md has all that a published checkpoint meets otherwise here, and by how much.
"""

_base_ = './f_lmm.py'
# Their mask heads learned from maps that were enlarged so, and from truth that lay over the logits so; SAM's scores were
# not trained.
model = dict(mask_head=dict(upsample_by='scale_factor'), padding_cut='whole_cells', loss_iou=None)
# All configs have F-LMM's batch size, rate and schedule; its bfloat16 only these.
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')
