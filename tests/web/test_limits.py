import pytest

from flmm.web.limits import LONGEST_TEXT, Limits, checked_text


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
