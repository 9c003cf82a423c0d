import pytest

from flmm.web.limits import LONGEST_TEXT, Limits, checked_text, selected_words


@pytest.mark.parametrize('name', ['max_upload_mb', 'max_pixels', 'queue_size', 'visitors', 'phrases'])
@pytest.mark.parametrize('value', [0, -1, 1.5, True, '3'])
def test_a_limit_is_a_positive_whole_number(name, value):
    with pytest.raises(ValueError, match=f'{name} is {value!r}, expected a positive whole number'):
        Limits(**{name: value})


def test_phrases_are_the_lines_of_a_text():
    assert Limits(phrases=2).phrases_of('  a cat \n\n\tdog\r\n') == ['a cat', 'dog']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'there is no phrase; write at least one'),
        (' \n\t\n', 'there is no phrase; write at least one'),
        ('a\nb\nc', 'there are 3 phrases; ask for at most 2 at once'),
        ('x' * (LONGEST_TEXT + 1), r'the text has 2,001 characters; shorten it to 2,000'),
        (None, 'NoneType is no text'),
        (['a'], 'list is no text'),
    ],
)
def test_a_text_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Limits(phrases=2).phrases_of(text)


def test_the_longest_text_is_taken():
    assert checked_text('x' * LONGEST_TEXT) == 'x' * LONGEST_TEXT


@pytest.mark.parametrize(
    ('text', 'selected', 'words'),
    [
        ('the red circle', 'red', 'red'),
        ('the red circle', 'ed ci', 'red circle'),
        ('the red circle', 'e', 'the'),
        ('the red circle', ' red ', 'red'),
        ('the red circle', ' ', ''),
        ('the red circle', '', ''),
        ('the red circle\na star', 'circle\na', 'circle'),
        ('the red circle\na star', '\na st', 'a star'),
        ('\U0001f600\U0001f600 a star \U0001f600', 'sta', 'star'),
        ('\U0001f600 x', '\U0001f600', '\U0001f600'),
        ('die größte Kugel', 'ß', 'größte'),
    ],
)
def test_a_selection_grows_to_whole_words_of_its_line(text, selected, words):
    """Browsers count UTF-16 code units: two for an emoji."""
    start = len(text[: text.index(selected)].encode('utf-16-le')) // 2
    end = start + len(selected.encode('utf-16-le')) // 2
    assert selected_words(text, start, end) == words


@pytest.mark.parametrize(('start', 'end'), [(5, 3), (100, 200), (0, 0)])
def test_a_selection_of_nothing_selects_nothing(start, end):
    assert selected_words('the red circle', start, end) == ''
