"""Text of unknown origin in figures: drawn as it is, in fonts that have its characters, within a given width."""

import bisect
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from flmm.plain_text import printable

# Fonts for writing, before what else is installed; matplotlib cannot draw fonts of coloured pictures, and the last
# resort has a box for every character.
PREFERRED = re.compile(r'CJK|Han Sans|YaHei|SimHei|WenQuanYi|PingFang|Hiragino|Gothic|^Noto Sans|Emoji|Symbola', re.I)
UNUSABLE = re.compile(r'Color Emoji|Last Resort', re.I)
DPI = 100
"""At which text is measured, as it is drawn: hinted, small letters are wider than their outlines."""
ZERO_WIDTH_JOINER = '\u200d'

_font_of: dict[str, str | None] = {}
"""Character that the usual font lacks -> an installed font that has it, or None. Looked up once."""


class TextFigure(Figure):
    """A figure for text of unknown origin: drawn without matplotlib's warning for each glyph that no font has.

    :func:`text_style` has reported them.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure."""
        with _no_glyph_warnings():
            super().draw(renderer)


def text_style(text: str) -> dict[str, Any]:
    r"""Return the keyword arguments of matplotlib that draw ``text`` as it is: '$' and '\' mean nothing.

    Characters that the usual font lacks are taken from another font that is installed. What none has is logged, once.
    """
    usual = list(matplotlib.rcParams['font.family'])
    lacking = sorted(set(filter(_shows, text)) - _characters_of(tuple(usual)))
    _look_up({character for character in lacking if character not in _font_of})
    others = dict.fromkeys(_font_of[character] for character in lacking if _font_of[character] is not None)
    return {'parse_math': False, 'usetex': False, 'fontfamily': [*usual, *others]}


def _shows(character: str) -> bool:
    return unicodedata.category(character) not in ('Cc', 'Cf', 'Cs', 'Zs') and not '\ufe00' <= character <= '\ufe0f'


def _look_up(characters: set[str]) -> None:
    """Find a font for each of ``characters``, and log those that no font has."""
    for name, path in _other_fonts() if characters else ():
        found = {character for character in characters if get_font(path).get_char_index(ord(character))}
        _font_of.update(dict.fromkeys(found, name))
        characters = characters - found
        if not characters:
            return
    if characters:
        from mmengine.logging import print_log  # here, since pictures of layouts should not wait for mmengine

        _font_of.update(dict.fromkeys(characters))
        names = ', '.join(f'{character} (U+{ord(character):04X})' for character in sorted(characters))
        print_log(
            f'pictures lack characters that no installed font has: {names}; install one that has them, such as Noto '
            'Sans CJK or Noto Emoji',
            logger='current',
            level=logging.WARNING,
        )


def fit_text(text: str, *, width: float, fontsize: float, max_lines: int = 1) -> str:
    """Break ``text`` into lines of at most ``width``, between words where there are any; shorten what is too long.

    Args:
        text: anything; white space becomes single blanks, what cannot be drawn is escaped.
        width: longest line in inches.
        fontsize: size of letters in points.
        max_lines: most lines; the last ends in an ellipsis where text is left over.
    """
    width *= DPI
    rest = ' '.join(map(printable, text.split()))[: int(width) * max_lines + 1]  # a character takes more than a pixel
    font = FontProperties(family=text_style(rest)['fontfamily'], size=fontsize)
    lines: list[str] = []
    while rest and len(lines) < max_lines:
        end, ending = _length_that_fits(rest, width, font), ''
        if end < len(rest):
            ending = '…' if len(lines) == max_lines - 1 else ''
            end = _break_before(rest, _length_that_fits(rest, width, font, ending))
        lines.append(rest[:end].rstrip() + ending)
        rest = rest[end:].lstrip()
    return '\n'.join(lines)


def _length_that_fits(text: str, width: float, font: FontProperties, end: str = '') -> int:
    """How many characters of ``text``, at least one, take at most ``width`` px together with ``end``."""
    renderer = RendererAgg(1, 1, DPI)

    def measure(length: int) -> float:
        return renderer.get_text_width_height_descent(text[:length] + end, font, ismath=False)[0]

    with _no_glyph_warnings():
        return max(1, bisect.bisect_right(range(1, min(len(text), int(width)) + 1), width, key=measure))


def _break_before(text: str, end: int) -> int:
    """The last place up to ``end`` to break ``text``: a blank, or else one that parts no accent from its letter."""
    blank = text.rfind(' ', 0, end + 1)
    if blank > 0:
        return blank
    start = end
    while start > 1 and (
        unicodedata.category(text[start]) in ('Mn', 'Me', 'Cf') or text[start - 1] == ZERO_WIDTH_JOINER
    ):
        start -= 1
    return start if start > 1 else end


@contextmanager
def _no_glyph_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing from', category=UserWarning)
        yield


@cache
def _characters_of(families: tuple[str, ...]) -> frozenset[str]:
    files = {findfont(FontProperties(family=[family])) for family in families}
    return frozenset(chr(code) for file in files for code in get_font(file).get_charmap())


@cache
def _other_fonts() -> tuple[tuple[str, str], ...]:
    """All usable fonts that are installed, the preferred first: name and file."""
    upright_last = sorted(fontManager.ttflist, key=lambda entry: (entry.style == 'normal', entry.weight == 400))
    files = {entry.name: entry.fname for entry in upright_last if not UNUSABLE.search(entry.name)}
    return tuple(sorted(files.items(), key=lambda item: (not PREFERRED.search(item[0]), item)))
