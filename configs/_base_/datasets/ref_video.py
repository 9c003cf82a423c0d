"""Videos with expressions, and how to run on them. A config adds their files and the image processor (docs/video_data.md)."""

_base_ = '../default_runtime.py'
loading = [dict(type='LoadVideoMasks')]
to_sample = dict(type='RefCOCO2PNG', prompt='Please give me a description of the video.', independent=True)
to_clip = dict(type='ClipToSample', read_as='video', sampling=dict(fps=2.0, max_frames=32))
# Of a video the LMM reads as many frames as in a test, and a few of them get masks.
train_to_clip = dict(**to_clip, num_frames=4)
# All expressions of a video together: its frames are read once for them.
loader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(type='RefVideoDataset', group_by_video=True),
)
train_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=True), **loader)
val_dataloader = dict(
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    **{**loader, 'dataset': dict(**loader['dataset'], test_mode=True)},
)
test_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    **{**loader, 'dataset': dict(**loader['dataset'], test_mode=True)},
)
val_evaluator = dict(type='VideoMetric')
test_evaluator = dict(type='VideoMetric', num_bootstrap=1000)
