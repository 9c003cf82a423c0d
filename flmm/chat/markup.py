"""Spans that an LMM has marked in its answer itself, and the answer without the marks."""

import re
import reprlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from flmm.chat.spans import Span

PAIRS = {
    '<ref>': '</ref>',  # Qwen-VL, InternVL
    '<|object_ref_start|>': '<|object_ref_end|>',  # Qwen2-VL and later
    '<p>': '</p>',  # GLaMM
    '<phrase>': '</phrase>',  # Kosmos-2
}
"""What stands before and behind words that an LMM grounds."""

_NUMBERS = r'[-\d\s.,()\[\]]*'
_WITHOUT_WORDS = (
    rf'<box>{_NUMBERS}</box>',  # Qwen-VL: (12,34),(56,78); InternVL: [[12, 34, 56, 78]]
    rf'<\|box_start\|>{_NUMBERS}<\|box_end\|>',  # Qwen2-VL and later
    rf'<\|quad_start\|>{_NUMBERS}<\|quad_end\|>',
    r'<object>(?:<patch_index_\d+>|</delimiter_of_multi_objects/>)*</object>',  # Kosmos-2
    r'<grounding>',
    r'\[SEG\]',  # LISA, GLaMM
)
_HALVES = ('<box>', '</box>', '<|box_start|>', '<|box_end|>', '<|quad_start|>', '<|quad_end|>', '<object>', '</object>')
_MARK = re.compile('|'.join([*_WITHOUT_WORDS, *(re.escape(mark) for mark in chain(*PAIRS.items(), _HALVES))]))
_MARKS_AND_BLANKS = re.compile(rf'\s*(?:(?:{_MARK.pattern})\s*)+')
_CLOSING_PUNCTUATION = tuple('.,;:!?)')


@dataclass(frozen=True)
class TaggedText:
    """An answer without its marks.

    Args:
        text: What is shown.
        spans: The parts of ``text`` that were marked, in order.
        sources: Of each character of ``text``, its place in the answer with marks.
    """

    text: str
    spans: tuple[Span, ...]
    sources: tuple[int, ...]

    def plain_offsets(self, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Turn offsets of tokens in the answer with marks into offsets in ``text``. Those of a mark become empty.

        Args:
            offsets: Of each token, its first character and the one behind its last.
        """
        return [(bisect_left(self.sources, start), bisect_left(self.sources, end)) for start, end in offsets]


def tagged_spans(answer: str) -> TaggedText:
    """Take the marks out of an answer and return the words between them as spans.

    Marks are those in :data:`PAIRS`. Boxes, patch indices, ``[SEG]`` and ``<grounding>`` are taken out, too, and lost:
    a box is in pixels or in thousandths of the image, depending on the LMM. Decode the answer with
    ``skip_special_tokens=False``, or Qwen's marks are lost and the numbers of its boxes stay.

    Of the blanks around marks one gap stays: the one with most line ends, else the longest; none at the ends of the
    text, nor before ``.,;:!?)``. Every other character stays as it is.

    >>> tagged = tagged_spans('Here <p> the dog </p> [SEG] runs.')
    >>> tagged.text, tagged.spans
    ('Here the dog runs.', (Span(start=5, end=12),))

    Raises:
        ValueError: A mark is not closed, as in an answer that was cut off, or not opened; it stands within another
            pair, encloses no letter or digit, or is half a box. The message names its place in the answer.
    """
    kept: list[int] = []
    spans: list[Span] = []
    opened: re.Match | None = None
    start = 0
    copied = 0
    for run in _MARKS_AND_BLANKS.finditer(answer):
        kept += range(copied, run.start())
        copied = run.end()
        gap = _gap(answer, run)
        for mark in _MARK.finditer(answer, *run.span()):
            if mark[0] in PAIRS:
                if opened:
                    raise ValueError(f'{_place(mark)} opens within {_place(opened)}; marked words do not overlap')
                opened = mark
                kept += gap  # no span begins with a blank
                gap = range(0)
                start = len(kept)
            elif mark[0] in PAIRS.values():
                if opened is None or mark[0] != PAIRS[opened[0]]:
                    raise ValueError(f'{_place(mark)} closes {_place(opened) if opened else "what was never opened"}')
                if not any(answer[place].isalnum() for place in kept[start:]):
                    raise ValueError(
                        f'{_place(opened)} marks {reprlib.repr(answer[opened.end() : mark.start()])}, '
                        'which has no letter or digit'
                    )
                spans.append(Span(start, len(kept)))
                opened = None
            elif mark[0] in _HALVES:
                raise ValueError(f'{_place(mark)} is half a box, or what it encloses is none')
        kept += gap
    if opened:
        raise ValueError(f'{_place(opened)} is never closed; was the answer cut off?')
    kept += range(copied, len(answer))
    return TaggedText(''.join(answer[place] for place in kept), tuple(spans), tuple(kept))


def _gap(answer: str, run: re.Match) -> range:
    """Choose the blanks that stay where marks are taken out, as places in the answer."""
    if run.start() == 0 or run.end() == len(answer) or answer.startswith(_CLOSING_PUNCTUATION, run.end()):
        return range(0)
    bounds = [run.start(), *chain(*(mark.span() for mark in _MARK.finditer(answer, *run.span()))), run.end()]
    gaps = (range(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True))
    return max(gaps, key=lambda gap: (answer.count('\n', gap.start, gap.stop), len(gap)))


def _place(mark: re.Match) -> str:
    return f'{mark[0]!r} at character {mark.start()}'
