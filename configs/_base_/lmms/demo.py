"""The small Qwen2.5-VL that ships with the repository, trained on synthetic shapes: see assets/README.md."""

_base_ = '../qwen_image_processor.py'
frozen_lmm = 'FrozenQwenSAM'
lmm = dict(type='pretrained_lmm', name_or_path='assets/demo_lmm', dtype='float32')
image_processor = dict(pretrained_model_name_or_path='assets/demo_lmm')
