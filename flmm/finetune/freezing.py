"""Which parts of a Qwen2-VL or Qwen2.5-VL are trained."""

from torch import nn

_PARTS = {
    'vision': lambda model: [module for name, module in model.model.visual.named_children() if name != 'merger'],
    'merger': lambda model: [model.model.visual.merger],
    'language': lambda model: [model.model.language_model, model.lm_head],
}


def freeze_parts(model: nn.Module, parts: list[str]) -> int:
    """Stop gradients of the named parts: 'vision' (the tower without its merger), 'merger', 'language'.

    Args:
        model: Qwen2VLForConditionalGeneration or Qwen2_5_VLForConditionalGeneration, changed in place.

    Returns:
        The number of parameters left to train.

    Raises:
        ValueError: a part is unknown, or nothing is left to train.
    """
    for part in parts:
        if part not in _PARTS:
            raise ValueError(f'unknown part {part!r} to freeze; choose from {sorted(_PARTS)}')
        for module in _PARTS[part](model):
            module.requires_grad_(requires_grad=False)
    left = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if not left:
        raise ValueError(f'freezing {parts} leaves nothing to train')
    return left
