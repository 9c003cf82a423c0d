"""As refcoco.py; what F-LMM's tables score is tested."""

_base_ = './refcoco.py'
# The first sentence of each ref, all refs of an image in one sequence.
test_dataloader = dict(dataset=dict(protocols=('first_sentence',)))
