"""As refcoco.py; what F-LMM's tables score is tested, read as F-LMM does: all refs of an image in one sequence."""

_base_ = './refcoco.py'
to_sample = dict(independent=False)
test_dataloader = dict(dataset=dict(protocols=('first_sentence',)))
