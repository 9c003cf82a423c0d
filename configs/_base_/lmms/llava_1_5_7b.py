frozen_lmm = 'FrozenLlavaSAM'
lmm = dict(type='pretrained_lmm', name_or_path='llava-hf/llava-1.5-7b-hf', dtype='bfloat16')
image_processor = dict(
    type='LlavaImageProcessorWrapper',
    pretrained_model_name_or_path='llava-hf/llava-1.5-7b-hf',
    prompt_template='USER: <image>\n{prompt} ASSISTANT:',  # F-LMM's
)
