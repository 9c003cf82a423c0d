"""The tokens of Qwen2-VL and Qwen2.5-VL that are no text. ChatCollator goes by the tokenizer at hand instead."""

TURN_TOKENS = ('<|endoftext|>', '<|im_start|>', '<|im_end|>')
PLACE_TOKENS = (
    '<|object_ref_start|>',
    '<|object_ref_end|>',
    '<|box_start|>',
    '<|box_end|>',
    '<|quad_start|>',
    '<|quad_end|>',
)
IMAGE_TOKENS = ('<|vision_start|>', '<|vision_end|>', '<|vision_pad|>', '<|image_pad|>', '<|video_pad|>')
TOOL_AND_CODE_TOKENS = (
    '<tool_call>',
    '</tool_call>',
    '<|fim_prefix|>',
    '<|fim_middle|>',
    '<|fim_suffix|>',
    '<|fim_pad|>',
    '<|repo_name|>',
    '<|file_sep|>',
)

STRUCTURE_TOKENS = (*TURN_TOKENS, *IMAGE_TOKENS)
"""They delimit turns and images: inside a text they would forge a turn or an image."""
SPECIAL_TOKENS = (*TURN_TOKENS, *PLACE_TOKENS, *IMAGE_TOKENS, *TOOL_AND_CODE_TOKENS)
"""All of them, in the order of their ids."""
