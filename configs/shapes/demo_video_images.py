"""The demo on shapes in motion, whose frames the LMM reads as single images."""

_base_ = './demo_video.py'
from flmm.assembly import assemble

to_clip = dict(_base_.to_clip, read_as='images')
train_to_clip = dict(_base_.train_to_clip, read_as='images')
model, train_dataloader, val_dataloader, test_dataloader = assemble(
    dict(_base_, to_clip=to_clip, train_to_clip=train_to_clip)
)
