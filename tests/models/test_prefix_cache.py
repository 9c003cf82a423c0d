"""The name of the cache, as the installed transformers has it."""

import inspect
import logging
import warnings

import pytest
import torch
from tiny_adaptive import COARSE, adaptive_lmm, layout_inputs
from tiny_families import TINY, build_grounder, build_wrapper, make_sample
from tiny_models import FAMILIES as QWEN

from flmm.families import FAMILIES
from flmm.models.generation import generate
from flmm.models.prefix_cache import CACHE


@pytest.mark.parametrize('model_type', FAMILIES)
def test_the_forwards_that_are_called_have_the_name(model_type):
    lmm = TINY[model_type].lmm(model_type)
    for module in (lmm, lmm.model, lmm.model.language_model):
        assert CACHE in inspect.signature(module.forward).parameters


class Kept(logging.Handler):
    """The messages of a logger."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def logged():
    """What transformers logs from here on, with what it says once and may have said already."""
    logger, kept = logging.getLogger('transformers'), Kept()
    logging.Logger.warning_once.cache_clear()
    logger.addHandler(kept)
    yield kept.messages
    logger.removeHandler(kept)


def test_the_logged_warnings_of_transformers_are_seen(logged):
    logging.getLogger('transformers.generation').warning_once('`a` is deprecated.')
    assert logged == ['`a` is deprecated.']


@pytest.mark.parametrize('model_type', FAMILIES)
def test_no_pass_over_an_lmm_takes_what_is_deprecated(model_type, logged):
    model, sample = build_grounder(model_type), make_sample(build_wrapper(model_type), ['a', 'some blue circle'])
    with warnings.catch_warnings():
        warnings.simplefilter('error', FutureWarning)
        model.encode([sample])
        generate(model.lmm, model.image_prefix(sample), sample.input_ids, max_new_tokens=2)
    assert not [message for message in logged if 'deprecated' in message]


@pytest.mark.parametrize('family', QWEN)
@pytest.mark.filterwarnings('ignore:`past_key_values` is deprecated:FutureWarning')
def test_an_adaptive_model_goes_on_from_a_cache_by_either_name(family):
    inner = adaptive_lmm(family).model
    inputs = layout_inputs([COARSE[0]], family=family)
    inputs.pop('attention_mask')
    length = inputs['input_ids'].shape[1] - 4
    text = ('input_ids', 'mm_token_type_ids')
    layout = {name: inputs[name] for name in ('image_grid_thw', 'image_layout', 'image_num_tokens')}
    with torch.no_grad():
        expected = inner(**inputs).last_hidden_state[:, length:]
        for name in {CACHE, 'past_key_values'}:
            cache = inner(**inputs | {each: inputs[each][:, :length] for each in text}, use_cache=True)[CACHE]
            rest = {each: inputs[each][:, length:] for each in text}
            found = inner(**rest, **layout, **{name: cache}).last_hidden_state
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
