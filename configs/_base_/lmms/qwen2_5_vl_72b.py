_base_ = '../qwen_image_processor.py'
frozen_lmm = 'FrozenQwenSAM'
# On all GPUs of one process; several processes train over its stored features (docs/gpus.md).
lmm = dict(type='pretrained_lmm', name_or_path='Qwen/Qwen2.5-VL-72B-Instruct', dtype='bfloat16', device_map='auto')
image_processor = dict(pretrained_model_name_or_path='Qwen/Qwen2.5-VL-72B-Instruct')
