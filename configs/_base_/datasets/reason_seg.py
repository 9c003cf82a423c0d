"""ReasonSeg as its authors publish it, for testing; a config takes it among its test sets."""

reason_seg = [
    dict(
        type='ReasonSegDataset',
        name=f'reason_seg_{split}',
        data_root='data/reason_seg/ReasonSeg/',
        data_prefix=dict(img_path=f'{split}/'),
        test_mode=True,
    )
    for split in ('val', 'test')
]
