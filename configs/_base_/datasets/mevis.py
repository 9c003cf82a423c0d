"""MeViS as its authors publish it. A config adds the image processor.

Of its parts valid_u has public truth; the masks of valid go to the benchmark's server.
"""

loading = [dict(type='LoadVideoMasks')]
to_sample = dict(type='RefCOCO2PNG', prompt='Please give me a description of the video.', independent=True)
to_clip = dict(type='ClipToSample', read_as='video', sampling=dict(fps=2.0, max_frames=32))
train_to_clip = dict(**to_clip, num_frames=4)  # so many get masks; the LMM reads all that sampling chooses


def mevis(part):
    return dict(
        type='RefVideoDataset',
        name=f'mevis_{part}',
        data_root='data/mevis/',
        ann_file=f'{part}/meta_expressions.json',
        mask_file=f'{part}/mask_dict.json',
        data_prefix=dict(img_path=f'{part}/JPEGImages'),
        fps=6.0,
        group_by_video=True,
    )


train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=mevis('train'),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(**mevis('valid_u'), test_mode=True),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(**mevis('valid_u'), test_mode=True),
)
val_evaluator = dict(type='VideoMetric')
test_evaluator = dict(type='VideoMetric')
