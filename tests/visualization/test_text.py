import itertools
import warnings

import matplotlib as mpl
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg

from flmm.visualization import text as text_module
from flmm.visualization.text import TextFigure, fit_text, text_style


@pytest.fixture(autouse=True)
def _nothing_looked_up(monkeypatch):
    monkeypatch.setattr(text_module, '_font_of', {})


@pytest.fixture
def logged(monkeypatch):
    messages = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda message, **_: messages.append(message))
    return messages


def width_of(line, fontsize=8):
    font = font_manager.FontProperties(family=['DejaVu Sans'], size=fontsize)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return RendererAgg(1, 1, 100).get_text_width_height_descent(line, font, ismath=False)[0] / 100


def test_usual_text_keeps_the_usual_font(logged):
    style = text_style('the $5 and é')
    assert style == {'parse_math': False, 'usetex': False, 'fontfamily': mpl.rcParams['font.family']}
    assert logged == []


def test_missing_characters_are_logged_once(logged):
    for _ in range(2):
        assert text_style('a 狗\t狗 猫')['fontfamily'] == mpl.rcParams['font.family']
    text_style('狗')
    text_style('鸟')
    assert [message.split('; ')[0] for message in logged] == [
        'pictures lack characters that no installed font has: 狗 (U+72D7), 猫 (U+732B)',
        'pictures lack characters that no installed font has: 鸟 (U+9E1F)',
    ]


def test_characters_are_taken_from_another_font_that_has_them(logged):
    """STIX, which ships with matplotlib, has a circled A; DejaVu has none."""
    *usual, other = text_style('a Ⓐ')['fontfamily']
    assert usual == mpl.rcParams['font.family']
    file = font_manager.findfont(font_manager.FontProperties(family=[other]))  # as matplotlib looks it up
    assert font_manager.get_font(file).get_char_index(ord('Ⓐ'))
    assert logged == []


def test_a_figure_draws_missing_glyphs_without_a_warning():
    figure = TextFigure()
    figure.suptitle('狗')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize(
    'text',
    ['short', 'the large red star to the left of the small blue circle', 'W' * 100, 'a ' + 'i' * 100, 'word ' * 9],
)
def test_lines_fit_and_nothing_is_lost(text):
    lines = fit_text(text, width=1.5, fontsize=8, max_lines=99).split('\n')
    assert all(width_of(line) <= 1.5 for line in lines)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')


def test_lines_break_between_words_where_they_can():
    text = 'the large red star to the left of the small blue circle'
    lines = fit_text(text, width=1.5, fontsize=8, max_lines=9).split('\n')
    assert ' '.join(lines) == text
    for line, following in itertools.pairwise(lines):
        assert width_of(f'{line} {following.split()[0]}') > 1.5  # each line is as full as it can be


@pytest.mark.parametrize('text', ['word ' * 50, 'W' * 20000, '狗' * 500])
def test_what_is_too_long_ends_in_an_ellipsis(text):
    lines = fit_text(text, width=1.5, fontsize=8, max_lines=3).split('\n')
    assert len(lines) == 3
    assert [line.endswith('…') for line in lines] == [False, False, True]
    assert all(width_of(line) <= 1.5 for line in lines)


def test_white_space_and_what_cannot_be_drawn():
    assert fit_text(' a\n\t b\u3000c\x00 \ud83d', width=9, fontsize=8) == r'a b c\x00 \ud83d'
    assert fit_text('', width=1, fontsize=8) == ''


def test_accents_stay_with_their_letters():
    lines = fit_text('e\u0301' * 200, width=1.5, fontsize=8, max_lines=3).split('\n')
    assert not any(line.startswith('\u0301') for line in lines)


def test_something_is_drawn_however_narrow():
    assert fit_text('WW', width=0.01, fontsize=8, max_lines=2) == 'W\nW'
