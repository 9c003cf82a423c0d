"""The noun phrases of an English answer: what F-LMM's grounded conversation looks for in the image."""

import importlib.util
import re
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from flmm.chat.spans import Span
from flmm.chat.vocabulary import ABOUT_THE_PICTURE, DETERMINERS, MEASURES, NUMBERS, PLACES, PRONOUNS
from flmm.chat.words import WORD, is_latin, word_chunks

METHODS = ('auto', 'spacy', 'words')
SPACY_PIPELINE = 'en_core_web_sm'
_TAGS = re.compile(r'(?:<[^<>\s]+>)+\.?')
"""Tags beside each other, and a full stop behind them."""
_SAY_NOTHING = DETERMINERS | NUMBERS | PRONOUNS


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

    'spacy' takes the noun chunks of spaCy's trained pipeline ``en_core_web_sm``, as F-LMM does. Install spaCy by
    ``pip install flmm[chat]``, then the pipeline, which is not in the package index, by
    ``python -m spacy download en_core_web_sm``.
    'words' splits the text by lists of words and by endings (:func:`flmm.chat.words.word_chunks`). It needs nothing.
    'auto' is 'spacy' where both parts are installed, otherwise 'words'; the result says which it was.

    Left out, by the lists of ``flmm/chat/vocabulary.py``, is what nothing in the image can be shown for: pronouns and
    bare numbers, the picture itself ('the image'; 'a picture' on a wall, too), places in it ('the left side', 'the
    background') and measures ('a lot' of something). So are tags, such as '</think>' and the demo's locations '<x3>'.

    No method knows another language in Latin letters from English: the phrases found there mean nothing.

    >>> text = 'The image shows two dogs on the grass.'
    >>> found = noun_phrases(text, method='words')
    >>> found.method, [span.of(text) for span in found.spans]
    ('words', ['two dogs', 'the grass'])

    Raises:
        ValueError: The method is unknown; it is 'spacy', of which a part is not installed; or the text is not English:
            most of its letters are not Latin.
    """
    if method not in METHODS:
        raise ValueError(f'method is {method!r}, expected one of {", ".join(METHODS)}')
    missing = [name for name in ('spacy', SPACY_PIPELINE) if importlib.util.find_spec(name) is None]
    if method == 'spacy' and missing:
        raise ValueError(
            f"method is 'spacy', and {' and '.join(missing)} cannot be imported; run 'pip install flmm[chat]' and "
            f"'python -m spacy download {SPACY_PIPELINE}', or choose 'words'"
        )
    # As long as before. A stop behind a space parts what is beside tags, for spaCy, too.
    untagged = _TAGS.sub(lambda tags: ' .'.ljust(len(tags[0])), text)
    letters = [character for character in untagged if character.isalpha()]
    num_foreign = sum(not is_latin(letter) for letter in letters)
    if 2 * num_foreign > len(letters):
        raise ValueError(
            f'the text {reprlib.repr(text)} is not English: {num_foreign} of its {len(letters)} letters are not Latin; '
            'give the spans to ground, or let the LMM mark them'
        )
    if method == 'words' or missing:
        return NounPhrases(tuple(_of_things(untagged, word_chunks(untagged))), 'words')
    chunks = (Span(chunk.start_char, chunk.end_char) for chunk in _spacy_pipeline()(untagged).noun_chunks)
    behind_tags = (
        Span(max([chunk.start, *(tags.end() for tags in _TAGS.finditer(text, chunk.start, chunk.end))]), chunk.end)
        for chunk in chunks
    )
    return NounPhrases(tuple(_of_things(untagged, behind_tags)), 'spacy')


@cache
def _spacy_pipeline() -> Any:
    import spacy  # an optional extra

    return spacy.load(SPACY_PIPELINE, exclude=['ner', 'lemmatizer'])


def _of_things(text: str, chunks: Iterable[Span]) -> Iterator[Span]:
    """Leave out what nothing in the image can be shown for, and the quotation marks around the rest."""
    for chunk in chunks:
        matches = list(WORD.finditer(text, chunk.start, chunk.end))
        words = [match[0].lower() for match in matches]
        said = {word for word in words if word not in _SAY_NOTHING and not word.isdigit()}
        if said and not said <= PLACES and not said <= MEASURES and words[-1] not in ABOUT_THE_PICTURE:
            yield Span(matches[0].start(), matches[-1].end())
