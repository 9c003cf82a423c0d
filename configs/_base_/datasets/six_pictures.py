"""The six pictures of docs/custom_data.md, whose lines have no split: trained and tested on all of them."""

_base_ = './json_lines.py'
to_sample = dict(prompt='Locate the shapes.')
six_pictures = dict(data_root='data/six_pictures/', split=None, name='six_pictures')
train_dataloader = dict(num_workers=0, batch_size=2, dataset=six_pictures)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=six_pictures)
test_dataloader = dict(num_workers=0, dataset=six_pictures)
