"""F-LMM on RefCOCO as its published LLaVA and DeepSeek-VL models have it; a config adds the LMM with F-LMM's prompt.

What differs from f_lmm_refcoco.py stands here. Not here: its joint training on PNG, RefCOCO, RefCOCO+ and RefCOCOg, of
which one dataset is read. docs/coming_from_f_lmm.md says what else a published checkpoint meets that its authors' code
does otherwise.
"""

_base_ = './f_lmm_refcoco.py'
# Their mask heads learned from maps that were enlarged so.
model = dict(mask_head=dict(upsample_by='scale_factor'))
# The first sentence of each ref, all refs of an image in one sequence: what F-LMM's tables score.
test_dataloader = dict(dataset=dict(protocols=('first_sentence',)))
# Batch size, rate and schedule are F-LMM's everywhere; bfloat16 is not.
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')
