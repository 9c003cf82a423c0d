"""generate behind a kept prefix; tests/families/test_chat.py compares it with the stock one over all families."""

import re

import pytest
import torch
from tiny_families import build_grounder, build_wrapper, make_sample, stock_inputs

from flmm.models.generation import generate


class Kept:
    """A model, a prefix and a sequence behind it."""

    def __init__(self, model_type):
        self.model = build_grounder(model_type)
        self.sample = make_sample(build_wrapper(model_type), ['some words'])
        self.input_ids = self.sample.input_ids
        self.prefix = self.model.image_prefix(self.sample)

    def generate(self, **settings):
        return generate(self.model.lmm, self.prefix, self.input_ids, **{'max_new_tokens': 8, **settings})

    def stock(self, **settings):
        made = self.model.lmm.generate(
            **stock_inputs('qwen2_5_vl', self.sample), **{'max_new_tokens': 8, 'do_sample': False, **settings}
        )
        return made[0, len(self.input_ids) :]


@pytest.fixture(scope='module', params=['qwen2_5_vl', 'qwen3_5'])
def kept(request):
    return Kept(request.param)


def test_a_prefix_serves_many_times(kept):
    first = kept.generate()
    assert kept.generate(num_beams=2).shape == (8,)
    assert torch.equal(kept.generate(), first)
    kept.generate(do_sample=True)
    assert torch.equal(kept.generate(), first)


def test_the_likeliest_token_is_taken_whatever_the_checkpoint_says(kept, monkeypatch):
    expected = kept.generate()
    for name, value in (('do_sample', True), ('temperature', 5.0), ('top_k', 3), ('top_p', 0.5), ('num_beams', 4)):
        monkeypatch.setattr(kept.model.lmm.generation_config, name, value)
    assert torch.equal(kept.generate(), expected)
    torch.manual_seed(0)
    assert not torch.equal(kept.generate(do_sample=True), expected)


def test_the_token_that_ends_a_turn_is_returned(kept):
    third = int(kept.generate()[2])
    length = kept.generate().tolist().index(third) + 1
    ended = kept.generate(eos_token_id=third)
    assert ended.tolist() == kept.generate().tolist()[:length]


def test_autocast_does_not_reach_it(kept):
    expected = kept.generate()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(kept.generate(), expected)


def test_penalties_count_the_words_before_the_prefix_ends(kept):
    if kept.prefix.carries:
        kept.sample.lmm_inputs['mm_token_type_ids'] = None
    settings = {'repetition_penalty': 2.0, 'suppress_tokens': [0]}
    assert kept.generate(**settings).tolist() == kept.stock(**settings).tolist()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'attention_mask': None}, 'attention_mask is what the conversation says; leave it out'),
        ({'max_new_tokens': 2.5}, 'max_new_tokens is 2.5, expected a whole number from 1 on'),
        ({'num_beams': 0}, 'num_beams is 0, expected a whole number from 1 on'),
        ({'max_new_tokens': True}, 'max_new_tokens is True, expected a whole number from 1 on'),
        ({'num_return_sequences': 2}, 'num_return_sequences is 2; one answer is made, and of it the tokens; leave it'),
        ({'return_dict_in_generate': True}, 'return_dict_in_generate is True; one answer is made, and of it the'),
        ({'temperature': 0.5}, 'temperature is 0.5, but no token is drawn; set do_sample=True, or leave it out'),
        ({'top_p': 0.9, 'do_sample': False}, 'top_p is 0.9, but no token is drawn; set do_sample=True'),
        ({'max_new_token': 3}, "not used by the model: ['max_new_token'] (note: typos in the"),
    ],
)
def test_settings_that_say_nothing_are_refused(kept, settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kept.generate(**settings)


def test_a_sequence_that_does_not_go_on_is_refused(kept):
    length = len(kept.prefix.input_ids)
    other = kept.input_ids.clone()
    other[0] += 1
    for input_ids in (kept.prefix.input_ids, other, kept.input_ids[: length - 1]):
        message = f'the sequence of {len(input_ids)} tokens does not go on from the {length} tokens that were read'
        with pytest.raises(ValueError, match=message):
            generate(kept.model.lmm, kept.prefix, input_ids, max_new_tokens=1)
