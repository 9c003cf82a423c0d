"""Answers and their parts, with the demo's model, which speaks and has tokens of several letters."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.chat import Span, noun_phrases
from flmm.grounder import Answer, Grounder, conversation, demo_folder, read_image

QUESTION = 'What is there?'
TEXT = 'A red circle is left of the blue star.'


@pytest.fixture(scope='module')
def read():
    grounder = Grounder.from_pretrained(demo_folder())
    return grounder.read(Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)))


def raw_answer(read, text):
    """An answer in which the names of special tokens are those tokens."""
    prompt_ids = read.given_answer(QUESTION, '').prompt_ids
    ids = read.grounder.to_sample.image_processor.tokenizer(text)['input_ids']
    return Answer(read=read, question=QUESTION, prompt_ids=prompt_ids, token_ids=torch.tensor(ids, dtype=torch.long))


def grounded(read, answer, words):
    """The model on one sequence of all that was said, in which these tokens of the answer are a phrase."""
    places = [len(answer.prompt_ids) + token for token in words]
    input_ids = torch.cat([answer.prompt_ids, answer.token_ids])
    mask_ids = torch.full_like(input_ids, -1)
    mask_ids[places] = 0
    sample = read.sample(['x']).with_outputs(
        input_ids=input_ids,
        mask_ids=mask_ids,
        prompt_length=len(answer.prompt_ids),
        independent=False,
        reading=None,
    )
    (found,) = read.grounder.model([sample], mode='predict')
    return found


def check_grounded(read, answer, spans, tokens):
    found = answer.ground(spans)
    for number, words in enumerate(tokens):
        expected = grounded(read, answer, words)
        for source in ('coarse', 'refined'):
            own = getattr(found, source)[[number]].in_image()
            torch.testing.assert_close(own, getattr(expected, source).in_image(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.scores[[number]], expected.sam_scores, atol=1e-5, rtol=0)
    return found


def test_the_tokens_of_the_text(read):
    answer = read.given_answer(QUESTION, TEXT)
    pieces = [answer.text[start:end] for start, end in answer.offsets]
    assert pieces == ['A', ' red', ' circle', ' ', 'i', 's', ' left', ' of', ' the', ' blue', ' star', '.']
    assert (answer.text, answer.raw, answer.marked, answer.markup_error) == (TEXT, TEXT, (), None)


def test_spans_in_any_order_cutting_tokens_and_overlapping(read):
    answer = read.given_answer(QUESTION, TEXT)
    spans = [(28, 37), (4, 9), Span(2, 12), [0, 1], (0, 38), (4, 9), (11, 15)]
    tokens = [[9, 10], [1, 2], [1, 2], [0], [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11], [1, 2], [2, 4, 5]]
    found = check_grounded(read, answer, spans, tokens)
    assert found.phrases == ['blue star', 'd cir', 'red circle', 'A', TEXT, 'd cir', 'e is']
    assert found.masks.shape == (7, 120, 160)
    assert (found.scores[0] - found.scores[1]).abs() > 1e-4  # words differ


def test_words_behind_other_words_see_those(read):
    first, second = (read.given_answer(QUESTION, text).ground([(0, 3)]).scores for text in ('dog', 'dog on a box'))
    assert torch.equal(first, second)  # what comes later is not seen
    later = read.given_answer(QUESTION, 'box, dog').ground([(5, 8)]).scores
    assert (later - first).abs() > 1e-4


def test_noun_phrases_are_what_is_grounded_unless_said_otherwise(read):
    answer = read.given_answer(QUESTION, TEXT)
    assert answer.ground().phrases == ['A red circle', 'the blue star']
    assert answer.noun_phrases('words') == noun_phrases(TEXT, method='words')
    with pytest.raises(ValueError, match="method is 'none'"):
        answer.noun_phrases('none')


START, END, BOX = '<|object_ref_start|>', '<|object_ref_end|>', '<|box_start|>(1,2),(3,4)<|box_end|>'


@pytest.mark.parametrize(
    ('raw', 'tokens'),
    [
        (f'{START}the red circle{END} by {START}a star{END}.', [['the', ' red', ' circle'], ['a', ' star']]),
        (f'{START}the red circle{END}{BOX} by {START}a star{END}{BOX}.', [['the', ' red', ' circle'], ['a', ' star']]),
        ('<ref>the red circle</ref> by <ref>a star</ref>.', [['the', ' red', ' circle'], ['a', ' star']]),
    ],
    ids=['special tokens', 'boxes', 'plain text'],
)
def test_marks_of_the_lmm_are_taken_out(read, raw, tokens):
    answer = raw_answer(read, raw)
    assert answer.raw == raw
    assert answer.text == 'the red circle by a star.'
    assert answer.marked == (Span(0, 14), Span(18, 24))
    assert answer.markup_error is None
    pieces = [answer.text[start:end] for start, end in answer.offsets]
    assert ''.join(pieces) == answer.text
    # The words' tokens among all of the answer, those of marks included, which the LMM has read.
    tokenizer = read.grounder.to_sample.image_processor.tokenizer
    said = [tokenizer.decode([token]) for token in answer.token_ids.tolist()]
    places, start = [], 0
    for words in tokens:
        words = [word for word in words if word in said]
        places.append([said.index(word, start) for word in words])
        start = places[-1][-1]
    assert [len(each) for each in places] == [3, 2]
    assert check_grounded(read, answer, None, places).phrases == ['the red circle', 'a star']
    assert check_grounded(read, answer, [(18, 24)], places[1:]).phrases == ['a star']


def test_special_tokens_of_marks_are_one_token_each(read):
    answer = raw_answer(read, f'{START}the star{END}')
    assert [int(token) for token in answer.token_ids[[0, -1]]] == [521, 522]
    assert (answer.offsets[0], answer.offsets[-1]) == ((0, 0), (8, 8))


@pytest.mark.parametrize(
    ('raw', 'message'),
    [
        (f'{START}the star{END} by {START}a ring', "'<|object_ref_start|>' at character 50 is never closed; was the"),
        ('the star</ref>', "'</ref>' at character 8 closes what was never opened"),
        ('<ref>the <ref>star</ref>', "'<ref>' at character 9 opens within '<ref>' at character 0"),
    ],
)
def test_malformed_marks_stay_text_and_are_named(read, raw, message):
    answer = raw_answer(read, raw)
    assert message in answer.markup_error
    assert answer.text == answer.raw == raw
    assert answer.marked == ()
    start = raw.index('star')
    assert answer.ground([(start, start + 4)]).phrases == ['star']


@pytest.mark.parametrize(
    ('spans', 'message'),
    [
        ([], f'the answer {TEXT!r} has nothing to ground; name a span of it'),
        ([(0, 5), (30, 39)], 'span (30, 39) ends outside the text of 38 characters; count characters of the text'),
        ([(37, 38)], "span (37, 38) is '.', which has no letter or digit"),
        ([(12, 13)], "span (12, 13) is ' ', which has no letter or digit"),
        ([(3, 3)], 'span (3, 3) is empty or starts below 0; expected 0 <= start < end'),
        ([(-4, 3)], 'span (-4, 3) is empty or starts below 0'),
        ([(0, 2.5)], 'span (0, 2.5) is not made of two integers'),
        ([(0, 2, 4)], 'span (0, 2, 4) is no pair; give a list of (start, end), in characters of the text'),
        ((0, 5), 'span 0 is no pair; give a list of (start, end)'),
        (['red'], "span 'red' is no pair; give a list of (start, end)"),
        ('red', "span 'r' is no pair; give a list of (start, end)"),
        (Span(0, 5), 'spans is Span(start=0, end=5); give a list of (start, end), in characters of the text'),
        (5, 'spans is 5; give a list of (start, end), in characters of the text'),
    ],
)
def test_spans_that_do_not_do_are_named(read, spans, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read.given_answer(QUESTION, TEXT).ground(spans)


def test_another_language_needs_spans(read):
    answer = read.given_answer(QUESTION, '左边有一只狗。')
    with pytest.raises(ValueError, match=r'is not English: 6 of its 6 letters are not Latin; give the spans to ground'):
        answer.ground()
    assert answer.offsets[-6:] == [(5, 6)] * 3 + [(6, 7)] * 3  # a token is a byte
    check_grounded(read, answer, [(5, 6)], [[15, 16, 17]])


def test_a_given_answer_that_the_tokenizer_reads_otherwise_is_refused(read):
    message = r"reads another answer from character 5 on: 'e\\u0301 x' as '\\xe9 x'; give it as it is read"
    with pytest.raises(ValueError, match=message):
        read.given_answer(QUESTION, 'a cafe\u0301 x')
    empty = read.given_answer(QUESTION, '')
    assert (empty.text, empty.token_ids.dtype, empty.chat('And?').text != '') == ('', torch.long, True)


@pytest.mark.parametrize('question', [None, 3, b'what'])
def test_a_question_is_a_string(read, question):
    for ask in (read.chat, lambda asked: read.given_answer(asked, 'x'), read.given_answer(QUESTION, 'x').chat):
        with pytest.raises(ValueError, match=f'prompt {question!r} is of type .*, expected a string'):
            ask(question)


def test_a_conversation_longer_than_the_lmm_was_made_for_is_refused(read):
    """It would answer all the same, and what it says means nothing."""
    longest = read.grounder.model.lmm.config.get_text_config().max_position_embeddings
    assert longest == 4096
    message = (
        r"about image 'image' takes \d+ positions, the LMM was made for 4096; ask a shorter question, or ask about"
    )
    with pytest.raises(ValueError, match=message):
        read.chat('x ' * longest)
    prompt_ids = read.given_answer(QUESTION, '').prompt_ids
    before = read.image_prefix.next_position - len(read.image_prefix.input_ids)
    room = longest - before - len(prompt_ids)
    last = prompt_ids.new_full((room - 1,), int(prompt_ids[-1]))
    assert len(read.answer_to('?', prompt_ids=torch.cat([prompt_ids, last]), max_new_tokens=1).token_ids) <= 1
    with pytest.raises(ValueError, match='takes 4096 positions'):
        read.answer_to('?', prompt_ids=torch.cat([prompt_ids, last, last[:1]]), max_new_tokens=1)


def test_an_answer_ends_before_the_positions_that_the_lmm_was_made_for(read, monkeypatch):
    whole = read.chat(QUESTION, max_new_tokens=8)
    assert len(whole.token_ids) == 8
    start = read.image_prefix.next_position + len(whole.prompt_ids) - len(read.image_prefix.input_ids)
    config = read.grounder.model.lmm.config.get_text_config()
    monkeypatch.setattr(config, 'max_position_embeddings', start + 6)
    message = rf"about image 'image' goes on behind the {start + 6} positions .* set max_new_tokens to 6 or less, or"
    with pytest.raises(ValueError, match=message):
        read.chat(QUESTION)
    assert torch.equal(read.chat(QUESTION, max_new_tokens=6).token_ids, whole.token_ids[:6])
    # One that ends there by itself is whole.
    end = read.grounder.to_sample.image_processor.tokenizer.eos_token_id
    monkeypatch.setattr(
        conversation,
        'generate',
        lambda *_, max_new_tokens: torch.tensor([40, 41, 42, 43, 44, end, 45])[:max_new_tokens],
    )
    assert read.chat(QUESTION).token_ids.tolist() == [40, 41, 42, 43, 44]


def test_half_a_character_is_no_question_and_no_answer(read):
    """No tokenizer reads one; what it would say names neither."""
    with pytest.raises(ValueError, match=r"prompt 'a \\ud83d' holds the lone surrogate '\\ud83d'; write the whole"):
        read.chat('a \ud83d')
    with pytest.raises(ValueError, match=r"text 'a \\ud83d' holds the lone surrogate '\\ud83d'; write the whole"):
        read.given_answer(QUESTION, 'a \ud83d')
    with pytest.raises(ValueError, match='text 5 is of type int, expected a string'):
        read.given_answer(QUESTION, 5)


def test_an_answer_ends_where_its_turn_does(read, monkeypatch):
    end = read.grounder.to_sample.image_processor.tokenizer.eos_token_id
    settings = []

    def made(lmm, prefix, input_ids, **given):
        settings.append(given)
        return torch.tensor([40, 41, end, 42])

    monkeypatch.setattr(conversation, 'generate', made)
    answer = read.chat(QUESTION)
    assert answer.token_ids.tolist() == [40, 41]
    follow = answer.chat('And?', max_new_tokens=7, do_sample=True)
    assert follow.prompt_ids.tolist()[: len(answer.prompt_ids) + 2] == [*answer.prompt_ids.tolist(), 40, 41]
    answer.chat('And?')
    assert settings == [
        {'max_new_tokens': 256}, {'max_new_tokens': 7, 'do_sample': True}, {'max_new_tokens': 256}
    ]  # fmt: skip


def test_what_ends_a_turn(read, monkeypatch):
    tokenizer, config = read.grounder.to_sample.image_processor.tokenizer, read.grounder.model.lmm.generation_config
    own = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    for ends, expected in ((None, own), (7, {7, *own}), ([7, 8], {7, 8, *own})):
        monkeypatch.setattr(config, 'eos_token_id', ends)
        assert read.grounder.ends_of_turn == expected


def test_the_demo_speaks_and_its_words_are_grounded(read):
    answer = read.chat('What is there?', max_new_tokens=40)
    assert answer.text
    assert answer.token_ids.tolist() == read.chat('What is there?', max_new_tokens=40).token_ids.tolist()
    assert answer.ground().phrases == [span.of(answer.text) for span in answer.noun_phrases().spans]


def test_attention_maps_of_many_spans_are_not_kept(read, monkeypatch):
    """They are what takes memory: 4 MB a span in a large LMM."""
    kept = []
    join = read_image.joined
    monkeypatch.setattr(read_image, 'joined', lambda samples, **given: kept.extend(samples) or join(samples, **given))
    assert len(read.given_answer(QUESTION, TEXT).ground([(0, 5), (2, 12), (28, 37)])) == 3
    assert [sample.mask_attentions for sample in kept] == [None, None]  # a group for each run of spans that overlap
