frozen_lmm = 'FrozenLlavaNextSAM'
lmm = dict(type='pretrained_lmm', name_or_path='llava-hf/llava-v1.6-mistral-7b-hf', dtype='bfloat16')
image_processor = dict(
    type='LlavaNextImageProcessorWrapper',
    pretrained_model_name_or_path='llava-hf/llava-v1.6-mistral-7b-hf',
    prompt_template='[INST] <image>\n{prompt} [/INST]',  # F-LMM's
)
