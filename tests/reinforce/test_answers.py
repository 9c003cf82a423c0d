"""Formats of answers: what they read, and that no text is an exception."""

import json
import random
import string
import time

import pytest

from flmm.reinforce import ANSWER_FORMATS, AnsweredObject, AnswerFrame

FRAME = AnswerFrame(image_size=(200, 100), size=(400, 100))
"""Answers count in an image that was read twice as wide."""
JSON, TOKENS = ANSWER_FORMATS['json_in_tags'].parse, ANSWER_FORMATS['location_tokens'].parse


def tagged(answer):
    return f'<think>It is left.</think>\n<answer>{answer}</answer>'


def test_objects_of_an_answer_in_json_are_in_px_of_the_image():
    text = tagged('[{"bbox_2d": [20, 30, 120, 70], "point_2d": [60.0, 50], "label": "the cup"}, {"label": "a"}]')
    assert JSON(text, FRAME) == (
        AnsweredObject(phrase='the cup', box=(10, 30, 60, 70), point=(30, 50)),
        AnsweredObject(phrase='a'),
    )
    assert JSON(tagged('{"point_2d": [4, 1], "type": "x"}'), FRAME) == (AnsweredObject(point=(2, 1)),)
    assert JSON(tagged(' [] '), FRAME) == ()


def test_thoughts_may_be_empty_and_of_several_lines():
    assert JSON('<think>\n\n</think><answer>[]</answer>\n', FRAME) == ()
    assert JSON('<think></think> <answer>[]</answer>', FRAME) == ()


@pytest.mark.parametrize(
    'text',
    [
        '',
        'the cup',
        '[]',
        '<answer>[]</answer>',
        '<think>a</think>[]',
        '<think>a<answer>[]</answer></think>',
        '<answer>[]</answer><think>a</think>',
        tagged('[]') + 'b',
        'b' + tagged('[]'),
        tagged('[]') + tagged('[]'),
        '<think>a</think><think>b</think><answer>[]</answer>',
        '<think>a <answer>[]</answer></think><answer>[]</answer>',
        '<THINK>a</THINK><answer>[]</answer>',
        *map(
            tagged,
            [
                '',
                'null',
                '1',
                '"[]"',
                '[[]]',
                '[1]',
                '{}',
                '[{}]',
                '[{"box": [1, 2, 3, 4]}]',
                '[{"bbox_2d": null}]',
                '[{"bbox_2d": [1, 2, 3]}]',
                '[{"bbox_2d": [1, 2, 3, 4, 5]}]',
                '[{"bbox_2d": "1, 2, 3, 4"}]',
                '[{"bbox_2d": ["1", "2", "3", "4"]}]',
                '[{"bbox_2d": [true, false, 3, 4]}]',
                '[{"bbox_2d": [[1, 2], [3, 4]]}]',
                '[{"bbox_2d": [1, 2, 1, 4]}]',
                '[{"bbox_2d": [3, 4, 1, 2]}]',
                '[{"bbox_2d": [NaN, 2, 3, 4]}]',
                '[{"bbox_2d": [1, 2, Infinity, 4]}]',
                '[{"bbox_2d": [1, 2, 1e999, 4]}]',
                '[{"bbox_2d": [1, 2, 1' + '0' * 400 + ', 4]}]',
                '[{"bbox_2d": [1, 2, 1' + '0' * 5000 + ', 4]}]',
                '[{"bbox_2d": [1, 2, 3, 4], "point_2d": [1]}]',
                '[{"point_2d": [1, 2], "label": 3}]',
                '[{"point_2d": [1, 2]}, null]',
                '[{"point_2d": [1, 2]},]',
                '[' * 100000,
                json.dumps([{'point_2d': [1, 2]}] * 101),
            ],
        ),
    ],
    ids=lambda text: text[:60],
)
def test_what_is_not_in_the_format_cannot_be_read(text):
    assert JSON(text, FRAME) is None


def test_many_tags_take_no_longer_than_their_length():
    start = time.process_time()
    for tags in ('</think><answer>', '</answer> ', '<answer>'):
        assert JSON('<think>' + tags * 20000, FRAME) is None
    assert time.process_time() - start < 2  # half a minute if each is tried with each


def test_a_key_that_stands_twice_counts_as_json_has_it_the_last():
    assert JSON(tagged('{"point_2d": "x", "point_2d": [4, 1]}'), FRAME) == (AnsweredObject(point=(2, 1)),)
    assert JSON(tagged('{"point_2d": [4, 1], "point_2d": "x"}'), FRAME) is None


def test_a_hundred_objects_can_be_read():
    assert len(JSON(tagged(json.dumps([{'point_2d': [1, 2]}] * 100)), FRAME)) == 100
    assert len(TOKENS('.'.join(['a'] * 100), FRAME)) == 100


def test_location_tokens_are_the_middles_of_units():
    # (3 + 0.5) * 28 = 98 of 400 px are 49 of 200; (0 + 0.5) * 28 = 14
    assert TOKENS('the red circle<x3><y0>.a star.<x0><y1>', FRAME) == (
        AnsweredObject(phrase='the red circle', point=(49, 14)),
        AnsweredObject(phrase='a star'),
        AnsweredObject(point=(7, 42)),
    )
    assert TOKENS('', FRAME) == TOKENS(' \n', FRAME) == ()


@pytest.mark.parametrize(
    'text',
    ['.', 'a.', '.a', 'a..b', 'a<x1>', 'a<y1>', 'a<y1><x1>', 'a<x1><y1>b', 'a<x1><y1><x2><y2>', 'a<x-1><y1>',
     'a<x1> <y1>', 'a<x123><y1>', 'a<x٣><y1>', 'a<b>c', '.'.join(['a'] * 101)],
)  # fmt: skip
def test_what_is_not_in_the_grammar_cannot_be_read(text):
    assert TOKENS(text, FRAME) is None


@pytest.mark.parametrize('name', ANSWER_FORMATS)
def test_no_text_raises(name):
    rng = random.Random(0)
    pieces = [
        '<think>', '</think>', '<answer>', '</answer>', '[', ']', '{', '}', '"bbox_2d":', '"point_2d":', '"label":',
        '[1,2,3,4]', ',', 'NaN', '-Infinity', '1e400', '9' * 400, 'null', '"', '\\', '\\ud800', '\x00', '\ud800',
        '.', '<x3>', '<y5>', '<x99>', 'the star', ' ', '\n', '🟥', *string.printable[:20],
    ]  # fmt: skip
    for _ in range(3000):
        said = ''.join(rng.choices(pieces, k=rng.randrange(20)))
        for text in (said, tagged(said)):
            answer = ANSWER_FORMATS[name].parse(text, FRAME)
            assert answer is None or all(isinstance(each, AnsweredObject) for each in answer)
