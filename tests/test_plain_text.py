"""Text of unknown origin for a line of output and for file names."""

import json

import pytest

from flmm.plain_text import LONGEST_FILE_NAME, display_width, file_name, printable


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Ba$$in, 左边 😀 é', 'Ba$$in, 左边 😀 é'),
        ('a\nb\tc\x00\x1b[0m', r'a\nb\tc\x00\x1b[0m'),
        (json.loads('"\\ud83d"'), r'\ud83d'),
        ('a\u2028b', r'a\u2028b'),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected
    printable(text).encode('utf-8')


@pytest.mark.parametrize(('text', 'width'), [('', 0), ('dog', 3), ('狗', 2), ('e\u0301', 1), ('😀', 2), ('\uff21B', 3)])
def test_display_width(text, width):
    assert display_width(text) == width


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('val_every_sentence', 'val_every_sentence'),
        ('COCO_train2014_000000000009', 'COCO_train2014_000000000009'),
        ('左边 $5', '左边 $5'),
        ('a/b', 'a%2Fb'),
        ('a%2Fb', 'a%252Fb'),
        ('/etc/passwd', '%2Fetc%2Fpasswd'),
        ('..', '%2E.'),
        ('.', '%2E'),
        ('', '%'),
        ('C:\\x', 'C%3A%5Cx'),
        ('a\x00b', 'a%00b'),
        ('\ud83d', '%ED%A0%BD'),
    ],
)
def test_file_name(text, expected, tmp_path):
    assert file_name(text) == expected
    (tmp_path / expected).write_text('')
    assert [path.name for path in tmp_path.iterdir()] == [expected]


def test_long_names_stay_apart_and_short_enough(tmp_path):
    names = {file_name('星' * 200 + end) for end in 'ab'}
    assert len(names) == 2
    for name in names:
        assert len(name.encode()) <= LONGEST_FILE_NAME
        (tmp_path / name).write_text('')
