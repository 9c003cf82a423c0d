"""As refcoco_png.py; of RefCOCO, RefCOCO+ and RefCOCOg what F-LMM's tables score is tested."""

_base_ = './refcoco_png.py'
to_sample = dict(independent=False)  # all phrases of an image in one sequence, where they are no caption
refcoco_sets, plus_sets, g_sets, *others = _base_.test_dataloader.dataset.datasets
first = dict(protocols=('first_sentence',))
test_dataloader = dict(
    dataset=dict(
        datasets=[dict(refcoco_sets, **first), dict(plus_sets, **first), dict(g_sets, **first), *others],
    )
)
