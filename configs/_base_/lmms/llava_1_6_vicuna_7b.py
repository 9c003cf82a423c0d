frozen_lmm = 'FrozenLlavaNextSAM'
lmm = dict(type='pretrained_lmm', name_or_path='llava-hf/llava-v1.6-vicuna-7b-hf', dtype='bfloat16')
image_processor = dict(
    type='LlavaNextImageProcessorWrapper',
    pretrained_model_name_or_path='llava-hf/llava-v1.6-vicuna-7b-hf',
    prompt_template='USER: <image>\n{prompt} ASSISTANT:',  # F-LMM's
)
