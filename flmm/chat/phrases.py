"""The noun phrases of an English answer: what F-LMM's grounded conversation looks for in the image."""

import importlib.util
import reprlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from flmm.chat.spans import Span
from flmm.chat.vocabulary import ABOUT_THE_PICTURE, DETERMINERS, MEASURES, NUMBERS, PLACES, PRONOUNS
from flmm.chat.words import WORD, word_chunks

METHODS = ('auto', 'spacy', 'words')
SPACY_PIPELINE = 'en_core_web_sm'


@dataclass(frozen=True)
class NounPhrases:
    """The noun phrases of a text, and who found them.

    Args:
        spans: The phrases, in the order of the text. Words that stand in it twice are two spans.
        method: 'spacy' or 'words'.
    """

    spans: tuple[Span, ...]
    method: str


def noun_phrases(text: str, *, method: str = 'auto') -> NounPhrases:
    """Find what an English text names: nouns with what stands before them, such as 'the large brown bear'.

    'spacy' takes the noun chunks of spaCy's pipeline ``en_core_web_sm``, a trained parser, as F-LMM does. It is not in the
    package index and is installed by ``pip install flmm[chat]`` and then ``python -m spacy download en_core_web_sm``.
    'words' splits the text by lists of words and by endings (:func:`flmm.chat.words.word_chunks`): always there, less
    exact. 'auto' is 'spacy' where both parts are installed, otherwise 'words'; the result says which it was.

    Both leave out phrases that nothing in the image can be shown for, by the lists in ``flmm/chat/vocabulary.py``:
    pronouns and bare numbers; the picture itself ('the image'); places in it ('the left side', 'the background'); and
    measures ('a lot' of something).

    Neither knows another language in Latin letters from English: the phrases found in it mean nothing.

    >>> text = 'The image shows two dogs on the grass.'
    >>> found = noun_phrases(text, method='words')
    >>> found.method, [span.of(text) for span in found.spans]
    ('words', ['two dogs', 'the grass'])

    Raises:
        ValueError: The method is unknown; it is 'spacy' and a part is not installed; or most letters of the text are
            not Latin, so that it is not English.
    """
    if method not in METHODS:
        raise ValueError(f'method is {method!r}, expected one of {", ".join(METHODS)}')
    missing = [name for name in ('spacy', SPACY_PIPELINE) if importlib.util.find_spec(name) is None]
    if method == 'spacy' and missing:
        raise ValueError(
            f"method is 'spacy', and {' and '.join(missing)} cannot be imported; run 'pip install flmm[chat]' and "
            f"'python -m spacy download {SPACY_PIPELINE}', or take 'words'"
        )
    letters = [character for character in text if character.isalpha()]
    foreign = [letter for letter in letters if not unicodedata.name(letter, '').startswith('LATIN')]
    if 2 * len(foreign) > len(letters):
        raise ValueError(
            f'the text {reprlib.repr(text)} is not English: {len(foreign)} of its {len(letters)} letters are not Latin; '
            'give the spans to ground, or let the LMM mark them'
        )
    if method == 'words' or missing:
        return NounPhrases(tuple(_of_things(text, word_chunks(text))), 'words')
    chunks = (Span(chunk.start_char, chunk.end_char) for chunk in _spacy_pipeline()(text).noun_chunks)
    return NounPhrases(tuple(_of_things(text, chunks)), 'spacy')


@cache
def _spacy_pipeline() -> Any:
    import spacy  # noqa: PLC0415  an optional extra

    return spacy.load(SPACY_PIPELINE, exclude=['ner', 'lemmatizer'])


def _of_things(text: str, chunks: Iterable[Span]) -> Iterable[Span]:
    """Leave out what nothing in the image can be shown for."""
    says_nothing = DETERMINERS | NUMBERS | PRONOUNS
    for chunk in chunks:
        words = [word[0].lower() for word in WORD.finditer(text, chunk.start, chunk.end)]
        said = {word for word in words if word not in says_nothing and not word.isdigit()}
        if said and not said <= PLACES and not said <= MEASURES and not _names_the_picture(words):
            yield chunk


def _names_the_picture(words: list[str]) -> bool:
    return words[-1] in ABOUT_THE_PICTURE
