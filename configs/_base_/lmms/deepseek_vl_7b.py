_base_ = './deepseek_vl_1_3b.py'
lmm = dict(name_or_path='deepseek-community/deepseek-vl-7b-chat')
image_processor = dict(pretrained_model_name_or_path='deepseek-community/deepseek-vl-7b-chat')
