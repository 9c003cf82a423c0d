"""The chat around an image as tokens, within the wrapper of a family; tests/families/test_contract.py has more."""

import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from tiny_llava import random_image, tiny_processor, tiny_tokenizer
from tiny_refcoco import REPOSITORY
from transformers import AddedToken, LlamaTokenizer

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG, unlabelled_item
from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper
from flmm.pretrained import load_processor


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


TURNS = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image_pad|>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}END{% endfor %}"
    '{% if add_generation_prompt %}assistant:{% endif %}'
)
"""What ends a turn is to be put in; a blank stands behind 'assistant:' only where an answer does."""


def demo_wrapper(template, **settings):
    """A tokenizer of bytes that joins them to words with the blank before."""
    processor = load_processor(REPOSITORY / 'assets' / 'demo_lmm')
    processor.chat_template = template
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=processor, **settings)


def whole_conversation(wrapper, questions, answers):
    turns = [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': questions[0]}]}]
    for question, answer in zip(questions[1:], answers, strict=True):
        turns.append({'role': 'assistant', 'content': [{'type': 'text', 'text': answer}]})
        turns.append({'role': 'user', 'content': [{'type': 'text', 'text': question}]})
    text = wrapper.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return wrapper.tokenizer(text)['input_ids']


@pytest.mark.parametrize('end', ['\n\n', ' ', '<|im_end|>\n', '\n', '. '])
@pytest.mark.parametrize('question', ['left of the star?', 'the big square', '', '  above it \n', 'x<image>'])
def test_a_second_turn_is_tokenized_as_within_the_whole_conversation(end, question):
    """Not by itself: 'user: left' has the token ' left', and 'user: ' with 'left' has not."""
    wrapper = demo_wrapper(TURNS.replace('END', end))
    first = wrapper.chat_tokenizer.first_turn_ids('the star')
    answer = wrapper.encode_text(' a ring')  # the LMM begins with the blank
    made = [*first, *answer, *wrapper.follow_up_ids(question)]
    asked = question.replace('<image>', '').strip()
    assert made == whole_conversation(wrapper, ['the star', asked], ['a ring'])


@pytest.mark.parametrize('end', ['\n', '</s>', '. ', ' '])
def test_a_second_turn_gets_no_blank_before_it(end):
    """From Llama's tokenizer, which puts one before a text."""
    processor = tiny_processor()
    processor.chat_template = TURNS.replace('<|image_pad|>', '<image>').replace('END', end)
    wrapper = LlavaImageProcessorWrapper(pretrained_model_name_or_path=processor)
    made = [
        *wrapper.chat_tokenizer.first_turn_ids('the star'),
        *wrapper.encode_text('a ring'),
        *wrapper.follow_up_ids('why?'),
    ]
    assert made == whole_conversation(wrapper, ['the star', 'why?'], ['a ring'])


def test_a_second_turn_with_the_name_of_a_special_token_is_plain_text():
    wrapper = demo_wrapper(TURNS.replace('END', '<|im_end|>\n'))
    ids = wrapper.follow_up_ids('is <|im_end|> there')
    end = wrapper.tokenizer.convert_tokens_to_ids('<|im_end|>')
    assert ids.count(end) == 2
    assert wrapper.tokenizer.decode(ids) == '<|im_end|>\nuser: is <|im_end|> there<|im_end|>\nassistant:'


def test_a_given_template_says_nothing_of_a_second_turn():
    wrapper = demo_wrapper(TURNS, prompt_template='<image>{prompt}')
    with pytest.raises(ValueError, match=r'has a prompt_template, which says nothing of a second question; ask about'):
        wrapper.follow_up_ids('why?')


@pytest.mark.parametrize(
    ('template', 'message'),
    [
        # Thoughts are left out of what was said before.
        (TURNS.replace('assistant:{%', 'assistant:<think>{%'), 'writes a first turn otherwise when others follow'),
        # So is all but the last turn.
        (TURNS.replace('in messages', 'in messages[-1:]'), 'writes a first turn otherwise when others follow'),
        (TURNS.replace('END', 't '), "joins an answer with what the chat template writes behind it, 't user: ', so"),
    ],
    ids=['thoughts', 'last turn', 'joined'],
)
def test_templates_that_do_not_go_on_are_refused(template, message):
    wrapper = demo_wrapper(template.replace('END', '\n'))
    with pytest.raises(ValueError, match=rf'{re.escape(message)}.*ask about the image anew'):
        wrapper.follow_up_ids('why?')


@pytest.mark.parametrize('prompt', [None, 3, ['a']])
def test_a_prompt_is_a_string(prompt):
    wrapper = demo_wrapper(TURNS)
    for ask in (wrapper.follow_up_ids, lambda prompt: wrapper.preprocess(random_image(60, 60), prompt=prompt)):
        with pytest.raises(ValueError, match=re.escape(f'prompt {prompt!r} is of type {type(prompt).__name__}, ')):
            ask(prompt)


def test_half_a_character_is_refused_wherever_it_stands():
    """The tokenizer's own error names neither setting nor character."""
    wrapper, half = demo_wrapper(TURNS), 'a \ud83d'
    for what, make in (
        ('prompt', lambda: wrapper.preprocess(random_image(60, 60), prompt=half)),
        ('prompt', lambda: wrapper.follow_up_ids(half)),
        ('prompt', lambda: RefCOCO2PNG(image_processor=wrapper, prompt=half)),
        ('text', lambda: wrapper.encode_text(half)),
        ('prompt_template', lambda: demo_wrapper(TURNS, prompt_template=f'<image>{{prompt}}{half}')),
    ):
        with pytest.raises(ValueError, match=rf"^{what} '.*' holds the lone surrogate '\\ud83d'; write the whole char"):
            make()


@pytest.mark.parametrize('pickled', [False, True])
def test_threads_that_share_a_wrapper_read_text_as_one_alone_does(wrapper, pickled):
    """Of 20,000 calls 60 read an image out of plain text while both kinds shared a tokenizer."""
    shared = pickle.loads(pickle.dumps(wrapper)) if pickled else wrapper
    image = Image.new('RGB', (56, 56))

    def ask(number):
        if number % 2:
            return shared.encode_text('a <|image_pad|> b <|im_end|>')
        if number % 50:
            return shared.chat_tokenizer.first_turn_ids('Where?')
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
