frozen_lmm = 'FrozenDeepseekVLSAM'
lmm = dict(type='pretrained_lmm', name_or_path='deepseek-community/deepseek-vl-1.3b-chat', dtype='bfloat16')
image_processor = dict(
    type='DeepseekVLImageProcessorWrapper',
    pretrained_model_name_or_path='deepseek-community/deepseek-vl-1.3b-chat',
    # F-LMM's. The token that begins a text is written out: transformers 5 adds it only where tokenizer.json says so,
    # which DeepSeek's own files leave to a setting that it no longer reads.
    prompt_template='<｜begin▁of▁sentence｜>User: <image>{prompt}\n\nAssistant:',  # noqa: RUF001 (DeepSeek's bars)
)
