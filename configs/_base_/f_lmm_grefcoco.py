"""F-LMM on gRefCOCO with SAM ViT-L, and a head that judges which phrases mean nothing; a config adds the LMM.

Validation is gRefCOCO's val, the first sentence of each ref; the threshold of existence is chosen on it. Tests are those
of gRefCOCO's three splits and RefCOCO's, in which every phrase has a target: one that the head takes to be absent has IoU 0.
"""

_base_ = ['./f_lmm.py', './datasets/grefcoco.py']
model = dict(existence=dict(type='ExistenceHead'))
default_hooks = dict(calibrate_existence=dict(type='CalibrateExistenceHook'))
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointDataset',
        datasets=[
            _base_.test_dataloader.dataset,
            dict(type='RefCocoTestSets', name='refcoco', splits=('val', 'testA', 'testB'), **_base_.refcoco),
        ],
    )
)
