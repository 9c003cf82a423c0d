"""Parts of an answer, and which tokens they are."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

from flmm.text import WordlessPhraseError


@dataclass(frozen=True, order=True)
class Span:
    """A part of a text: the characters ``text[start:end]``.

    Args:
        start: The first character, counted from 0.
        end: The character behind the last one.

    Raises:
        ValueError: The bounds are no integers, ``start`` is below 0, or the span is empty.

    >>> Span(2, 9).of('A red bus.')
    'red bus'
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not all(type(bound) is int for bound in (self.start, self.end)):
            raise ValueError(f'span ({self.start!r}, {self.end!r}) is not made of two integers')
        if not 0 <= self.start < self.end:
            raise ValueError(f'span ({self.start}, {self.end}) is empty or starts below 0; expected 0 <= start < end')

    def of(self, text: str) -> str:
        """Return the words of the span in ``text``.

        Raises:
            WordlessPhraseError: The words have no letter and no digit: nothing in them can be grounded.
            ValueError: The span does not lie in the text.
        """
        if self.end > len(text):
            raise ValueError(
                f'span ({self.start}, {self.end}) ends outside the text of {len(text)} characters; '
                'count characters of the text that the spans belong to'
            )
        words = text[self.start : self.end]
        if not any(character.isalnum() for character in words):
            raise WordlessPhraseError(
                f'span ({self.start}, {self.end}) is {reprlib.repr(words)}, which has no letter or digit'
            )
        return words


def span_tokens(offsets: Sequence[tuple[int, int]], span: Span, text: str) -> list[int]:
    """Find the tokens that a span is made of: all that share a character other than a blank with it.

    A token that crosses the span's border belongs to it, whatever else it holds, such as the blank before the span. A
    token that shares no more than a blank with the span does not. Where several tokens are pieces of one character,
    each has that character's offsets, and all belong. Tokens without characters, such as the end of a turn, never do.

    >>> span_tokens([(0, 1), (1, 5), (5, 9), (9, 10)], Span(2, 9), 'A red bus.')
    [1, 2]

    Args:
        offsets: Of each token of the text, its first character and the one behind its last, as a tokenizer of
            transformers returns them (``return_offsets_mapping=True``).
        span: The part of the text.
        text: What the offsets and the span count characters of.

    Returns:
        The numbers of the tokens, ascending. At least one.

    Raises:
        ValueError: A token's offsets lie outside the text, or a letter or digit of the span is in no token.
    """
    words = span.of(text)
    numbers = []
    for number, (start, end) in enumerate(offsets):
        if not 0 <= start <= end <= len(text):
            raise ValueError(
                f'token {number} has the offsets ({start}, {end}), the text {len(text)} characters; '
                'give the offsets of this text'
            )
        if text[max(start, span.start) : min(end, span.end)].strip():
            numbers.append(number)
    covered = {place for number in numbers for place in range(*offsets[number])}
    for place, character in enumerate(words, start=span.start):
        if character.isalnum() and place not in covered:
            raise ValueError(
                f'character {place}, {character!r}, of the span {reprlib.repr(words)} is in no token; '
                'give the offsets of all tokens of this text'
            )
    return numbers
