frozen_lmm = 'FrozenDeepseekVLSAM'
lmm = dict(type='pretrained_lmm', name_or_path='deepseek-community/deepseek-vl-7b-chat', dtype='bfloat16')
image_processor = dict(
    type='DeepseekVLImageProcessorWrapper',
    pretrained_model_name_or_path='deepseek-community/deepseek-vl-7b-chat',
    prompt_template='User: <image>{prompt}\n\nAssistant:',
)
