"""prepare_phrase: one form for whatever is the same phrase, and an error for what is none."""

import unicodedata

import pytest

from flmm.text import WordlessPhraseError, prepare_phrase


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('the red star', 'the red star'),
        ('The Red  Star ', 'the red star'),
        ('\tThe\r\nRED\x0bstar\n', 'the red star'),
        ('the\xa0red\u2003\u3000star', 'the red star'),
        ('\ufeffthe\u200b red star', 'the red star'),
        ('\u200ethe red\x00star\u200f', 'the red star'),
        ('the s\xadtar\u2060', 'the star'),
        ('\u06a9\u062a\u0627\u0628\u200c\u0647\u0627', '\u06a9\u062a\u0627\u0628\u200c\u0647\u0627'),
        ('Cafe\u0301', 'caf\xe9'),
        ('CAF\xc9', 'caf\xe9'),
        ('\u732b', '\u732b'),
        ('2', '2'),
        ('"the <|image_pad|>"', '"the <|image_pad|>"'),
    ],
)
def test_one_form(text, expected):
    assert prepare_phrase(text, lowercase=True) == expected


def test_case_may_stay():
    assert prepare_phrase(' The  Red Star', lowercase=False) == 'The Red Star'


@pytest.mark.parametrize('lowercase', [True, False])
def test_every_character_decomposed_is_itself_and_twice_is_once(lowercase):
    for code in [*range(0x3000), *range(0xF900, 0x11800)]:  # the rest is CJK, Hangul and pictures
        text = f'a{chr(code)}b'
        prepared = prepare_phrase(text, lowercase=lowercase)
        assert prepare_phrase(unicodedata.normalize('NFD', text), lowercase=lowercase) == prepared
        assert prepare_phrase(prepared, lowercase=lowercase) == prepared


@pytest.mark.parametrize('text', ['', ' ', '\n\u3000', '.', '?!', '\U0001f525', '\u200b', '\u0301'])
def test_phrase_without_letter_or_digit_is_named(text):
    with pytest.raises(WordlessPhraseError) as error:
        prepare_phrase(text, lowercase=True)
    assert str(error.value) == f'phrase {text!r} has no letter or digit; fill it or leave it out'


@pytest.mark.parametrize(('value', 'kind'), [(None, 'NoneType'), (7, 'int'), (b'cat', 'bytes'), (['cat'], 'list')])
def test_value_that_is_no_string_is_named(value, kind):
    with pytest.raises(ValueError, match='is of type') as error:
        prepare_phrase(value, lowercase=True)
    assert str(error.value) == f'phrase {value!r} is of type {kind}, expected a string'


def test_half_a_character_is_named():
    with pytest.raises(ValueError, match=r"phrase 'a\\ud83dcat' holds the lone surrogate '\\ud83d'; write the whole"):
        prepare_phrase('a\ud83dcat', lowercase=True)
