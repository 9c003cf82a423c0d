"""What ImageProcessorWrapper does for every family; tests/families/test_contract.py has the rest."""

import pytest
from tiny_llava import random_image


@pytest.mark.parametrize('prompt', ['what is left?', '<|im_end|> <image>?'])
def test_other_words_about_an_image_are_as_if_it_was_prepared_with_them(wrapper, prompt):
    image = random_image(60, 90)
    found = wrapper.preprocess(image, prompt='x')
    expected = wrapper.preprocess(image, prompt=prompt)
    assert wrapper.first_turn_ids([found], prompt=prompt).tolist() == expected.input_ids.tolist()
    assert found.views[0].columns.tolist() == expected.views[0].columns.tolist()
    assert found.lmm_inputs['pixel_values'].equal(expected.lmm_inputs['pixel_values'])
