_base_ = './qwen3_5_4b.py'
lmm = dict(name_or_path='Qwen/Qwen3.5-9B')
image_processor = dict(pretrained_model_name_or_path='Qwen/Qwen3.5-9B')
