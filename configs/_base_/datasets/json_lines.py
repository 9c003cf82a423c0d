"""Data of one's own as JSON lines (docs/custom_data.md), trained and tested on the lines of each split.

A config adds the image processor, and names its own data_root.
"""

_base_ = './refcoco.py'
json_lines = dict(
    _delete_=True,
    type='JsonLinesDataset',
    data_root='data/mine/',
    data_prefix=dict(img_path=''),
    ann_file='data.jsonl',
)
train_dataloader = dict(dataset=dict(split='train', text_mode='random', **json_lines))
val_dataloader = dict(dataset=dict(split='val', text_mode='select_first', test_mode=True, **json_lines))
test_dataloader = dict(dataset=dict(split='test', text_mode='select_first', test_mode=True, **json_lines))
