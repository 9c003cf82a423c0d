"""The families of LMMs: for each model type of transformers, what runs it and what reads images for it.

docs/add_an_lmm.md adds a family step by step; here that takes an entry for each of its model types.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Family:
    """What belongs to one model type of transformers. Classes go by name, so that nothing is imported for a list.

    Args:
        lmm: the class of transformers that is frozen.
        processor: the class of transformers that prepares its images and text.
        model: module and name of the FrozenLMM that runs it.
        image_processor: module and name of the ImageProcessorWrapper that wraps the processor.
    """

    lmm: str
    processor: str
    model: str
    image_processor: str


_QWEN = {
    'model': 'flmm.models.frozen_qwen.FrozenQwenSAM',
    'image_processor': 'flmm.datasets.qwen_image_processor.QwenImageProcessorWrapper',
}
_QWEN3_VL = _QWEN | {'model': 'flmm.models.frozen_qwen3.FrozenQwen3VLSAM'}
_DEEPSEEK_VL = {
    'model': 'flmm.models.frozen_deepseek_vl.FrozenDeepseekVLSAM',
    'image_processor': 'flmm.datasets.deepseek_vl_image_processor.DeepseekVLImageProcessorWrapper',
}
FAMILIES: dict[str, Family] = {
    'qwen2_vl': Family(lmm='Qwen2VLForConditionalGeneration', processor='Qwen2VLProcessor', **_QWEN),
    'qwen2_5_vl': Family(lmm='Qwen2_5_VLForConditionalGeneration', processor='Qwen2_5_VLProcessor', **_QWEN),
    'qwen3_vl': Family(lmm='Qwen3VLForConditionalGeneration', processor='Qwen3VLProcessor', **_QWEN3_VL),
    'qwen3_5': Family(lmm='Qwen3_5ForConditionalGeneration', processor='Qwen3VLProcessor', **_QWEN),
    'llava': Family(
        lmm='LlavaForConditionalGeneration',
        processor='LlavaProcessor',
        model='flmm.models.frozen_llava.FrozenLlavaSAM',
        image_processor='flmm.datasets.llava_image_processor.LlavaImageProcessorWrapper',
    ),
    'llava_next': Family(
        lmm='LlavaNextForConditionalGeneration',
        processor='LlavaNextProcessor',
        model='flmm.models.frozen_llava.FrozenLlavaNextSAM',
        image_processor='flmm.datasets.llava_image_processor.LlavaNextImageProcessorWrapper',
    ),
    'deepseek_vl': Family(lmm='DeepseekVLForConditionalGeneration', processor='DeepseekVLProcessor', **_DEEPSEEK_VL),
    'deepseek_vl_hybrid': Family(
        lmm='DeepseekVLHybridForConditionalGeneration', processor='DeepseekVLHybridProcessor', **_DEEPSEEK_VL
    ),
}
"""By ``model_type``, as the ``config.json`` of a checkpoint has it."""


def check_lmm(lmm: Any, *, reader: type) -> None:
    """Refuse an LMM that a FrozenLMM does not run.

    Args:
        lmm: a model of transformers, or what stands for one and has its ``config``.
        reader: the subclass of FrozenLMM.

    Raises:
        ValueError: naming the class that does run it, or the known families.
    """
    model_type = getattr(getattr(lmm, 'config', None), 'model_type', None)
    what = f'lmm is a {type(lmm).__name__} of model type {model_type!r}'
    family = _known(FAMILIES.get(model_type), what)
    # A family's model may be a subclass of another's: the nearest counts.
    models = {_class_name(known.model) for known in FAMILIES.values()}
    if _class_name(family.model) != next((base.__name__ for base in reader.__mro__ if base.__name__ in models), None):
        raise ValueError(f'{what}; {reader.__name__} does not run it, {_class_name(family.model)} does')
    if not {family.lmm, 'LMMWithoutWeights'} & _names_of(type(lmm)):
        raise ValueError(f'{what}, expected a {family.lmm}')


def check_processor(processor: Any, *, wrapper: type) -> None:
    """Refuse a processor that an ImageProcessorWrapper does not wrap; as :func:`check_lmm`."""
    names = _names_of(type(processor))
    what = f'the processor is a {type(processor).__name__}'
    candidates = [family for family in FAMILIES.values() if family.processor in names]
    _known(candidates[0] if candidates else None, what)
    fitting = [_class_name(candidate.image_processor) for candidate in candidates]
    if not set(fitting) & _names_of(wrapper):
        raise ValueError(f'{what}; {wrapper.__name__} does not wrap it, {fitting[0]} does')


def _known(family: Family | None, what: str) -> Family:
    if family is None:
        raise ValueError(
            f'{what}, which belongs to no known family of LMMs. Known are {", ".join(FAMILIES)}; docs/add_an_lmm.md '
            'says how to add one'
        )
    return family


def _names_of(cls: type) -> set[str]:
    return {base.__name__ for base in cls.__mro__}


def _class_name(path: str) -> str:
    return path.rpartition('.')[2]
