_base_ = '../image_processor.py'
lmm = dict(type='pretrained_lmm', name_or_path='Qwen/Qwen3-VL-8B-Instruct', dtype='bfloat16')
image_processor = dict(pretrained_model_name_or_path='Qwen/Qwen3-VL-8B-Instruct')
