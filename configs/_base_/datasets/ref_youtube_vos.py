"""Ref-YouTube-VOS in training, Ref-DAVIS in validation and tests.

Ref-DAVIS is scored as its figures are published (docs/evaluation.md). Ref-YouTube-VOS's validation videos have no public
truth: test on them without mask_path and has_void, and with DumpVideoMasks, which writes masks for the benchmark's server
(docs/video_data.md).
"""

_base_ = './ref_video.py'
davis = dict(
    name='ref_davis_valid',
    data_root='data/ref-davis/',
    ann_file='meta_expressions/valid/meta_expressions.json',
    data_prefix=dict(img_path='valid/JPEGImages', mask_path='valid/Annotations'),
    has_void=True,
    fps=24.0,
)
train_dataloader = dict(
    dataset=dict(
        name='ref_youtube_vos_train',
        data_root='data/ref-youtube-vos/',
        ann_file='meta_expressions/train/meta_expressions.json',
        data_prefix=dict(img_path='train/JPEGImages', mask_path='train/Annotations'),
        fps=6.0,
    )
)
val_dataloader = dict(dataset=davis)
test_dataloader = dict(dataset=davis)
val_evaluator = dict(type='RefDavisMetric')
test_evaluator = dict(type='RefDavisMetric')
