"""What ImageProcessorWrapper does for every family; tests/families/test_contract.py has the rest."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from tiny_llava import random_image, tiny_processor, tiny_tokenizer
from transformers import AddedToken, LlamaTokenizer

from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper


def test_plain_text_that_the_tokenizer_takes_for_an_image_is_refused():
    vocab = {name: index for name, index in tiny_tokenizer().get_vocab().items() if name != '<image>'}
    processor = tiny_processor()
    processor.tokenizer = LlamaTokenizer(vocab=vocab, merges=[], add_bos_token=True)
    processor.tokenizer.add_tokens([AddedToken('<image>', special=False, normalized=False)])
    assert processor.tokenizer.convert_tokens_to_ids('<image>') == processor.image_token_id
    wrapper = LlavaImageProcessorWrapper(pretrained_model_name_or_path=processor)
    message = r"the tokenizer would read an image out of the text '.*<image>.*'; leave '<image>' out of it, or mark"
    with pytest.raises(ValueError, match=rf"^image 'a\.jpg': {message}"):
        RefCOCO2PNG(image_processor=wrapper, prompt='').transform(
            unlabelled_item(random_image(9, 9), ['b <image>'], path='a.jpg')
        )
    with pytest.raises(ValueError, match=message):  # what is left of the prompt without its <image>
        wrapper.preprocess(random_image(9, 9), prompt='<im<image>age>')
    assert wrapper.encode_text('an image')


@pytest.mark.parametrize('prompt', ['{prompt}', '{}', '{0!r} {a}', '%s', '\\1', ''])
def test_a_prompt_stands_in_the_template_as_it_is(prompt):
    processor = tiny_processor()
    template = '{system} %d USER: <image>\n{prompt} {ASSISTANT}:'
    wrapper = LlavaImageProcessorWrapper(pretrained_model_name_or_path=processor, prompt_template=template)
    found = wrapper.preprocess(random_image(20, 30), prompt=prompt)
    text = f'{{system}} %d USER: <image>\n{prompt} {{ASSISTANT}}:'
    stock = processor(text=text, images=random_image(20, 30))['input_ids'][0]
    assert found.input_ids.tolist() == stock


@pytest.mark.parametrize(
    'template', ['USER: {prompt}', '<image>', '{prompt} <image>', '<image><image>{prompt}', '<image>{prompt}{prompt}']
)
def test_a_template_without_one_image_and_one_prompt_behind_it_is_refused(template):
    with pytest.raises(ValueError, match=r"prompt_template is .*, expected one '<image>' and, behind it, one"):
        LlavaImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(), prompt_template=template)


@pytest.mark.parametrize('pickled', [False, True])
def test_threads_that_share_a_wrapper_read_text_as_one_alone_does(wrapper, pickled):
    """Of 20,000 calls 60 read an image out of plain text while both kinds shared a tokenizer."""
    shared = pickle.loads(pickle.dumps(wrapper)) if pickled else wrapper
    image = Image.new('RGB', (56, 56))

    def ask(number):
        if number % 2:
            return shared.encode_text('a <|image_pad|> b <|im_end|>')
        if number % 50:
            return shared._prompt_ids('Where?')
        return shared.preprocess(image, prompt='Where?').input_ids.tolist()

    numbers = range(5000)
    expected = [ask(number) for number in numbers]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, numbers))
    finally:
        sys.setswitchinterval(interval)
    assert found == expected
