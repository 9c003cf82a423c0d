"""The closed list of what a saved grounder may say keeps up with the classes."""

import inspect
from dataclasses import replace

from flmm.apt.patch_selection import SETTINGS as SELECTION
from flmm.families import FAMILIES
from flmm.grounder import stored_types
from flmm.registry import MODELS, TRANSFORMS


def settings_of(made):
    """Names of the keyword arguments of a function, or of a class and those of its bases that it hands arguments to."""
    ours = [base for base in getattr(made, '__mro__', ()) if base.__module__.startswith('flmm')]
    functions = [base.__init__ for base in ours if '__init__' in vars(base)] if ours else [made]
    parameters = [each for function in functions for each in inspect.signature(function).parameters.values()]
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


def test_the_list_has_every_setting_of_its_classes():
    """A new setting of a class must be put on the list, or be said to be none of inference."""
    to_sample = stored_types.to_sample_types()
    types = {
        **stored_types.LMM, **stored_types.SAM, **stored_types.REFINER, **stored_types.MASK_HEAD,
        **stored_types.EXISTENCE, **stored_types.model_types(), **to_sample,
        **to_sample['RefCOCO2PNG']['image_processor'],
    }  # fmt: skip
    assert len(types) == 1 + 3 + 1 + 2 + 1 + 5 + 1 + 4
    filled_in = {'in_channels', 'hidden_size', 'depth', 'num_channels', 'concat', *stored_types.NOT_STORED}
    for name, settings in types.items():
        own = settings_of(MODELS.get(name) or TRANSFORMS.get(name)) - filled_in
        own |= SELECTION.keys() if name == 'QwenImageProcessorWrapper' else set()
        assert settings.keys() == own, name


def test_a_family_of_ones_own_is_on_the_list_once_the_program_knows_it(monkeypatch):
    own = replace(FAMILIES['llava'], model='mine.FrozenMineSAM', image_processor='mine.MineWrapper')
    assert 'FrozenMineSAM' not in stored_types.model_types()
    monkeypatch.setitem(FAMILIES, 'mine', own)
    assert stored_types.model_types()['FrozenMineSAM'] == stored_types.MODEL
    assert (
        stored_types.to_sample_types()['RefCOCO2PNG']['image_processor']['MineWrapper'] == stored_types.IMAGE_PROCESSOR
    )
