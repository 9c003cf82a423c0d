"""Which words somebody has selected: browsers count UTF-16 code units, Python counts characters."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from itertools import accumulate

from flmm.chat import Span

# Scripts without blanks between words, by the first word of their letters' names.
UNSPACED = re.compile('(CJK|HIRAGANA|KATAKANA|THAI|LAO|KHMER|MYANMAR) ')


def selected_words(text: str, start: int, end: int) -> str:
    """Return the whole words that a selection touches, in the line where it begins; '' where it touches none.

    Args:
        text: the text of a box.
        start: where the selection begins, in UTF-16 code units.
        end: where it ends. What lies outside of the text is left out: the text may have been edited since.

    Raises:
        ValueError: bounds that are no whole numbers from 0 on.

    >>> selected_words('the red circle', 5, 9)
    'red circle'
    """
    first, behind = _stripped(text, *_in_characters(text, start, end))
    lines = text[first:behind].splitlines()
    if not lines:
        return ''
    first, behind = _whole_words(text, first, first + len(lines[0].rstrip()))
    return text[first:behind]


def selected_span(text: str, start: int, end: int) -> Span:
    """Return the whole words of an answer that a selection touches, as characters of the answer.

    Args:
        text: the answer.
        start: where the selection begins, in UTF-16 code units.
        end: where it ends.

    Raises:
        ValueError: bounds that are no whole numbers from 0 on, or lie outside of the answer; a selection of nothing,
            or of blanks.

    >>> selected_span('A red circle.', 3, 7)
    Span(start=2, end=12)
    """
    first, behind = _in_characters(text, start, end)
    num_units = sum(map(_units, text))
    if end > num_units:
        raise ValueError(f'the selection ({start}, {end}) ends outside of the answer, which is {num_units} long')
    first, behind = _stripped(text, first, behind)
    if first >= behind:
        raise ValueError('there are no words in the selection; select some of the answer')
    return Span(*_whole_words(text, first, behind))


def _units(character: str) -> int:
    return 2 if character > '\uffff' else 1


def _in_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """Turn bounds in UTF-16 code units into places of characters; of one that is cut in two, all is taken."""
    if not all(type(bound) is int and bound >= 0 for bound in (start, end)):
        raise ValueError(f'the selection ({start!r}, {end!r}) is not made of two whole numbers from 0 on')
    ends = list(accumulate(map(_units, text)))  # of each character, in code units
    first, behind = bisect_right(ends, start), min(bisect_left(ends, end) + 1, len(text))
    return first, behind if start < end else first


def _stripped(text: str, first: int, behind: int) -> tuple[int, int]:
    """Leave out the blanks at both ends."""
    selected = text[first:behind]
    return first + len(selected) - len(selected.lstrip()), first + len(selected.rstrip())


def _whole_words(text: str, first: int, behind: int) -> tuple[int, int]:
    while first > 0 and _belong_together(text[first - 1], text[first]):
        first -= 1
    while behind < len(text) and _belong_together(text[behind - 1], text[behind]):
        behind += 1
    return first, behind


def _belong_together(one: str, next_one: str) -> bool:
    """Say whether a character and the next are of the same word."""
    if _is_mark(next_one):  # an accent, or a vowel of an Indic script
        return not one.isspace()
    return _is_of_spaced_word(one) and _is_of_spaced_word(next_one)


def _is_of_spaced_word(character: str) -> bool:
    return (character.isalnum() or _is_mark(character)) and not UNSPACED.match(unicodedata.name(character, ''))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith('M')
