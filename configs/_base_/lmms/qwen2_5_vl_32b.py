_base_ = '../qwen_image_processor.py'
frozen_lmm = 'FrozenQwenSAM'
lmm = dict(type='pretrained_lmm', name_or_path='Qwen/Qwen2.5-VL-32B-Instruct', dtype='bfloat16')
image_processor = dict(pretrained_model_name_or_path='Qwen/Qwen2.5-VL-32B-Instruct')
