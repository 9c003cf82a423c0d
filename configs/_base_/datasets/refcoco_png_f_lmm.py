"""As refcoco_png.py; of RefCOCO, RefCOCO+ and RefCOCOg what F-LMM's tables score is tested."""

_base_ = './refcoco_png.py'
refcoco_sets, plus_sets, g_sets, *others = _base_.test_dataloader.dataset.datasets
first = dict(protocols=('first_sentence',))  # of each ref, all refs of an image in one sequence
test_dataloader = dict(
    dataset=dict(
        datasets=[dict(refcoco_sets, **first), dict(plus_sets, **first), dict(g_sets, **first), *others],
    )
)
