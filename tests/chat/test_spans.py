"""Spans: what they refuse, and which tokens they are."""

import random
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from flmm.chat import Span, span_tokens
from flmm.text import WordlessPhraseError


def test_of_returns_the_characters():
    assert Span(4, 7).of('the dog.') == 'dog'
    assert Span(0, 8).of('the dog.') == 'the dog.'
    assert sorted([Span(4, 7), Span(0, 3)]) == [Span(0, 3), Span(4, 7)]


@pytest.mark.parametrize('bounds', [(3, 3), (5, 2), (-1, 2)])
def test_bounds_that_hold_nothing_are_named(bounds):
    with pytest.raises(ValueError) as error:
        Span(*bounds)
    assert str(error.value) == f'span {bounds} is empty or starts below 0; expected 0 <= start < end'


@pytest.mark.parametrize('bounds', [(0.0, 3), ('0', 3), (True, 3), (0, None)])
def test_bounds_are_integers(bounds):
    with pytest.raises(ValueError, match='is not made of two integers'):
        Span(*bounds)


def test_a_span_outside_the_text_is_named():
    with pytest.raises(ValueError, match=r'span \(4, 9\) ends outside the text of 8 characters; count characters of'):
        Span(4, 9).of('the dog.')


@pytest.mark.parametrize('text', ['a   b', 'a...b', 'a \U0001f415 b'])
def test_a_span_without_a_word_is_named(text):
    with pytest.raises(WordlessPhraseError, match=r'span \(1, 4\) is .*, which has no letter or digit'):
        Span(1, 4).of(text)


TEXT = 'A red bus, parked.'


@pytest.mark.parametrize(
    ('offsets', 'span', 'expected'),
    [
        # 'A', ' red', ' bus', ',', ' parked', '.': a token begins with the blank before the span.
        ([(0, 1), (1, 5), (5, 9), (9, 10), (10, 17), (17, 18)], (2, 9), [1, 2]),
        # 'A ', 'red ', 'bus, ', ...: a token ends behind the span, and one before it ends with a blank.
        ([(0, 2), (2, 6), (6, 11), (11, 17), (17, 18)], (2, 9), [1, 2]),
        # The span itself begins and ends with a blank: tokens that share no more than that do not belong.
        ([(0, 2), (2, 5), (5, 6), (6, 9), (9, 10)], (1, 6), [1]),
        # A token that crosses the border belongs, though the span has one letter of it.
        ([(0, 4), (4, 9), (9, 18)], (4, 5), [1]),
        ([(0, 4), (4, 9), (9, 18)], (3, 5), [0, 1]),
        # Tokens without characters, before and behind.
        ([(0, 0), (0, 1), (1, 5), (5, 5), (5, 9), (18, 18)], (2, 9), [2, 4]),
    ],
)
def test_tokens_that_share_a_letter_belong(offsets, span, expected):
    assert span_tokens(offsets, Span(*span), TEXT) == expected


def test_all_pieces_of_one_character_belong():
    text = 'a \u72d7 b'
    assert span_tokens([(0, 1), (1, 3), (2, 3), (2, 3), (3, 5)], Span(2, 3), text) == [1, 2, 3]


def test_a_span_in_no_token_is_named():
    offsets = [(0, 1), (1, 5), (9, 10)]
    with pytest.raises(ValueError, match="character 6, 'b', of the span 'bus' is in no token; give the offsets of all"):
        span_tokens(offsets, Span(6, 9), TEXT)


def test_a_span_of_which_a_part_is_in_no_token_is_named():
    with pytest.raises(ValueError, match="character 8, 's', of the span 'red bus' is in no token"):
        span_tokens([(0, 5), (5, 8)], Span(2, 9), TEXT)


def test_offsets_of_another_text_are_named():
    with pytest.raises(
        ValueError, match=r'token 1 has the offsets \(17, 19\), the text 18 characters; give the offsets'
    ):
        span_tokens([(0, 17), (17, 19)], Span(2, 9), TEXT)
    with pytest.raises(ValueError, match=r'token 0 has the offsets \(5, 2\)'):
        span_tokens([(5, 2)], Span(2, 9), TEXT)


def byte_level_tokenizer(*, trim_offsets: bool) -> Tokenizer:
    """One token for each byte but for ' dog': as Qwen's (offsets with the blank) and GPT-2's (without) write them."""
    vocabulary = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [('d', 'o'), ('do', 'g'), ('\u0120', 'dog')]
    for merge in merges:
        vocabulary[''.join(merge)] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


@pytest.mark.parametrize('trim_offsets', [False, True])
def test_offsets_of_a_byte_level_tokenizer(trim_offsets):
    encoding = byte_level_tokenizer(trim_offsets=trim_offsets).encode('a \u72d7 dog.')
    assert encoding.tokens[1:] == ['\u0120', *encoding.tokens[2:5], '\u0120dog', '.']  # three bytes of one character
    assert span_tokens(encoding.offsets, Span(2, 3), 'a \u72d7 dog.') == [2, 3, 4]
    assert span_tokens(encoding.offsets, Span(4, 7), 'a \u72d7 dog.') == [5]
    assert span_tokens(encoding.offsets, Span(2, 7), 'a \u72d7 dog.') == [2, 3, 4, 5]


@pytest.mark.parametrize('trim_offsets', [False, True])
def test_a_letter_that_the_tokenizer_composes_is_found(trim_offsets):
    text = 'a cafe\u0301 dog'  # e and an accent, one letter after NFC
    encoding = byte_level_tokenizer(trim_offsets=trim_offsets).encode(text)
    tokens = [encoding.tokens[number] for number in span_tokens(encoding.offsets, Span(2, 7), text)]
    assert tokens == ['c', 'a', 'f', '\u00c3', '\u00a9']


def test_any_split_into_tokens_gives_those_that_share_a_letter():
    generator = random.Random(0)
    for _ in range(300):
        text = ''.join(generator.choice('ab  .') for _ in range(generator.randint(1, 30)))
        cuts = sorted({0, len(text), *(generator.randrange(len(text)) for _ in range(generator.randint(0, 12)))})
        offsets = list(pairwise(cuts))
        start = generator.randrange(len(text))
        end = generator.randint(start + 1, len(text))
        if not text[start:end].strip(' .'):
            continue
        of_character = [next(n for n, (a, b) in enumerate(offsets) if a <= place < b) for place in range(len(text))]
        expected = sorted({of_character[place] for place in range(start, end) if text[place] != ' '})
        assert span_tokens(offsets, Span(start, end), text) == expected
