"""Which words a selection of a browser is; browsers count UTF-16 code units: two for an emoji."""

import pytest

from flmm.web.selection import selected_span, selected_words

SELECTIONS = [
    ('the red circle', 'red', 'red'),
    ('the red circle', 'ed ci', 'red circle'),
    ('the red circle', 'e', 'the'),
    ('the red circle', ' red ', 'red'),
    ('\U0001f600\U0001f600 a star \U0001f600', 'sta', 'star'),
    ('\U0001f600 x', '\U0001f600', '\U0001f600'),
    ('die größte Kugel', 'ß', 'größte'),
    ('die gro\u0308ßte Kugel', 'o', 'gro\u0308ßte'),
    ('a yellow-green heart, here', 'ellow', 'yellow'),
    ('a heart, here', 'art,', 'heart,'),
    ('图中有一只红色的狗。', '红色的狗', '红色的狗'),
    ('\U0001f600图中有一只狗', '狗', '狗'),
    ('赤い丸と星', '丸', '丸'),
    ('यह लाल हिन्दी', 'हि', 'हिन्दी'),
    ('قطة حمراء', 'حم', 'حمراء'),
    ('\ud800 a star', 'sta', 'star'),
]


def bounds(text, selected):
    start = units(text[: text.index(selected)])
    return start, start + units(selected)


def units(text):
    return len(text.encode('utf-16-le', 'surrogatepass')) // 2


@pytest.mark.parametrize(
    ('text', 'selected', 'words'),
    [
        *SELECTIONS,
        ('the red circle', ' ', ''),
        ('the red circle', '', ''),
        ('the red circle\na star', 'circle\na', 'circle'),
        ('the red circle\na star', '\na st', 'a star'),
        ('the red circle\u2028a star', 'circle\u2028a', 'circle'),
    ],
)
def test_a_selection_of_a_box_grows_to_whole_words_of_its_line(text, selected, words):
    assert selected_words(text, *bounds(text, selected)) == words


@pytest.mark.parametrize(('text', 'selected', 'words'), [*SELECTIONS, ('a star\nand more', 'star\na', 'star\nand')])
def test_a_selection_of_an_answer_grows_to_whole_words(text, selected, words):
    span = selected_span(text, *bounds(text, selected))
    assert text[span.start : span.end] == words
    assert span.start <= text.index(selected.strip())


def test_of_words_that_stand_twice_the_selected_ones_are_meant():
    text = '\U0001f600 the heart and the heart'
    start = units('\U0001f600 the heart and the ')
    span = selected_span(text, start, start + 5)
    assert (span.start, span.end) == (20, 25)


def test_of_a_character_that_is_cut_in_two_all_is_taken():
    text = 'a\U0001f600b'
    assert [selected_words(text, *cut) for cut in [(1, 2), (2, 3), (0, 2)]] == [
        '\U0001f600',
        '\U0001f600',
        'a\U0001f600',
    ]


@pytest.mark.parametrize(('start', 'end'), [(5, 3), (100, 200), (0, 0)])
def test_a_selection_of_nothing_of_a_box_selects_nothing(start, end):
    assert selected_words('the red circle', start, end) == ''


@pytest.mark.parametrize(
    ('start', 'end', 'message'),
    [
        (5, 3, 'there are no words in the selection; select some of the answer'),
        (4, 4, 'there are no words in the selection'),
        (3, 4, 'there are no words in the selection'),
        (14, 14, 'there are no words in the selection'),
        (0, 17, r'the selection \(0, 17\) ends outside of the answer, which is 16 long'),
        (100, 200, 'ends outside of the answer'),
    ],
)
def test_a_selection_of_nothing_of_an_answer_is_an_error(start, end, message):
    with pytest.raises(ValueError, match=message):
        selected_span('the red circle\U0001f600', start, end)


@pytest.mark.parametrize('select', [selected_words, selected_span])
@pytest.mark.parametrize('wrong', [(-3, 5), (0, -1), (None, 3), (0, '3'), (0.0, 3), (True, 3)])
def test_bounds_that_are_none_are_an_error(select, wrong):
    with pytest.raises(ValueError, match='is not made of two whole numbers from 0 on'):
        select('the red circle', *wrong)
