"""Behind the checkpoint's own chat template a phrase would be the first of its thoughts; here it is the answer."""

_base_ = '../image_processor.py'
lmm = dict(type='pretrained_lmm', name_or_path='Qwen/Qwen3.5-4B', dtype='bfloat16')
image_processor = dict(
    pretrained_model_name_or_path='Qwen/Qwen3.5-4B',
    prompt_template=(
        '<|im_start|>user\n<|vision_start|><image><|vision_end|>{prompt}<|im_end|>\n'
        '<|im_start|>assistant\n<think>\n\n</think>\n\n'
    ),
)
