"""How a phrase is written before it is tokenized: the same for training, testing and inference."""

import re
import reprlib
import unicodedata
from typing import Any

# Unicode's white space, control characters, and the two characters that are blanks by name without being white space.
BLANKS = re.compile('[\\s\x00-\x1f\x7f-\x9f\u200b\ufeff]+')
# Soft hyphens, marks of the direction of writing, invisible operators. Joiners stay: words of some scripts need them.
INVISIBLE = re.compile('[\u00ad\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f]')


class WordlessPhraseError(ValueError):
    """A phrase has no letter and no digit: nothing in it can be grounded."""


def check_text(text: Any, *, what: str = 'phrase') -> None:
    """Refuse what no tokenizer reads.

    Args:
        text: what is to be tokenized.
        what: names it in messages.

    Raises:
        ValueError: the text is no string, or holds half of a character (a lone surrogate).
    """
    if not isinstance(text, str):
        raise ValueError(f'{what} {reprlib.repr(text)} is of type {type(text).__name__}, expected a string')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f'{what} {reprlib.repr(text)} holds the lone surrogate {text[error.start]!r}; write the whole character'
        ) from error


def prepare_phrase(text: str, *, lowercase: bool) -> str:
    """Bring a phrase into the one form in which the LMM reads it.

    Characters that nobody sees are left out, Unicode is composed (NFC), blanks at both ends are stripped, white space
    within becomes single blanks.

    >>> prepare_phrase(' The Red  Star ', lowercase=True)
    'the red star'

    Args:
        text: The phrase as somebody wrote it.
        lowercase: True turns capitals into small letters.

    Raises:
        WordlessPhraseError: the phrase has no letter and no digit.
        ValueError: the phrase is no string, or holds half of a character (a lone surrogate).
    """
    check_text(text)
    prepared = unicodedata.normalize('NFC', INVISIBLE.sub('', text))
    if lowercase:
        prepared = unicodedata.normalize('NFC', prepared.lower())
    prepared = BLANKS.sub(' ', prepared).strip()
    if not any(character.isalnum() for character in prepared):
        raise WordlessPhraseError(f'phrase {reprlib.repr(text)} has no letter or digit; fill it or leave it out')
    return prepared
