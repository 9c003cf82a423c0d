"""GroundingSuite-Eval as its authors publish it, for testing; a config takes it among its test sets.

Images: COCO's unlabeled2017, in a folder of this name below data_root.
"""

grounding_suite = dict(
    type='GroundingSuiteDataset',
    name='grounding_suite',
    data_root='data/grounding_suite/',
    data_prefix=dict(img_path=''),
    ann_file='GroundingSuite-Eval.jsonl',
    test_mode=True,
)
