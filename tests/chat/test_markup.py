"""Marks in an answer: the text without them, the spans between them, and where both were."""

import random
import re

import pytest

from flmm.chat import Span, span_tokens, tagged_spans
from flmm.chat.markup import PAIRS


@pytest.mark.parametrize(
    ('answer', 'text', 'phrases'),
    [
        ('I see <ref>the dog</ref>.', 'I see the dog.', ['the dog']),
        ('<ref>The dog</ref><box>(12,34),(56,78)</box> runs.', 'The dog runs.', ['The dog']),
        ('<ref>a cat</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>', 'a cat', ['a cat']),
        (
            'On <|object_ref_start|>the grass<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|> lie '
            '<|object_ref_start|>two dogs<|object_ref_end|>.',
            'On the grass lie two dogs.',
            ['the grass', 'two dogs'],
        ),
        ('<p> The man </p> [SEG] holds <p> a kite </p> [SEG].', 'The man holds a kite.', ['The man', 'a kite']),
        ('Sure, it is [SEG].', 'Sure, it is.', []),
        (
            '<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863>'
            '</delimiter_of_multi_objects/><patch_index_0005><patch_index_0911></object> by<phrase> a fire</phrase>.',
            'An image of a snowman by a fire.',
            ['a snowman', 'a fire'],
        ),
        ('<ref>\u72d7</ref>\u5728<ref>\u8349</ref>\u4e0a', '\u72d7\u5728\u8349\u4e0a', ['\u72d7', '\u8349']),
        ('<ref>a</ref>\n\n<ref>b</ref>', 'a\n\nb', ['a', 'b']),
        ('<p> a </p> [SEG]\n- <p> b </p> [SEG]', 'a\n- b', ['a', 'b']),
        ('a <ref>b<box>(1,2),(3,4)</box> c</ref>d', 'a b cd', ['b c']),
        ('  two  blanks, a < b > c, <b>x</b>, [x] and <ref', '  two  blanks, a < b > c, <b>x</b>, [x] and <ref', []),
        ('', '', []),
    ],
)  # fmt: skip
def test_text_and_spans(answer, text, phrases):
    tagged = tagged_spans(answer)
    assert tagged.text == text
    assert [span.of(text) for span in tagged.spans] == phrases
    assert ''.join(answer[place] for place in tagged.sources) == text


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        ('see <ref>the do', "'<ref>' at character 4 is never closed; was the answer cut off?"),
        ('see the dog</ref>', "'</ref>' at character 11 closes what was never opened"),
        ('<p>a <ref>b</ref></p>', "'<ref>' at character 5 opens within '<p>' at character 0; marked words do not"),
        ('<ref>a <ref>b</ref>', "'<ref>' at character 7 opens within '<ref>' at character 0"),
        ('<ref>a<p>b</ref>c</p>', "'<p>' at character 6 opens within '<ref>' at character 0"),
        ('<ref>a</p>', "'</p>' at character 6 closes '<ref>' at character 0"),
        ('so <ref></ref>', "'<ref>' at character 3 marks '', which has no letter or digit"),
        ('<ref> ... </ref>', "'<ref>' at character 0 marks ' ... ', which has no letter or digit"),
        ('<ref>[SEG]</ref>', "'<ref>' at character 0 marks '[SEG]', which has no letter or digit"),
        ('<ref>a</ref><box>(1,2', "'<box>' at character 12 is half a box, or what it encloses is none"),
        ('<ref>a</ref><box><ref>b</ref></box>', "'<box>' at character 12 is half a box"),
        ('a<|box_end|>', "'<|box_end|>' at character 1 is half a box"),
        ('a<box>the cat</box>', "'<box>' at character 1 is half a box, or what it encloses is none"),
        ('a<object>the cat</object>', "'<object>' at character 1 is half a box"),
    ],
)
def test_what_does_not_fit_together_is_named(answer, message):
    with pytest.raises(ValueError) as error:
        tagged_spans(answer)
    assert str(error.value).startswith(message)


NOISE = (
    '',
    '',
    '[SEG]',
    '<box>(1,2),(3,4)</box>',
    '<|box_start|>(1,2),(3,4)<|box_end|>',
    '<grounding>',
    '<object></object>',
)


@pytest.mark.parametrize('seed', range(40))
def test_marks_put_into_a_text_come_out_again(seed):
    """Words are separated by one blank; marks and blanks around them are put in at random, spans never overlap."""
    generator = random.Random(seed)
    words = [generator.choice(['dog', 'a', 'Stra\u00dfe', '\u72d7', '7']) for _ in range(20)]
    text = ' '.join(words)
    starts = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
    answer, expected, number = '', [], 0
    while number < len(words):
        blank = '' if number == 0 else ' '
        length = generator.randint(1, min(3, len(words) - number))
        if generator.random() < 0.5:
            answer += blank + generator.choice(NOISE) + words[number]
            number += 1
            continue
        opening, closing = generator.choice(list(PAIRS.items()))
        inside = f'{generator.choice(NOISE)} '.join(words[number : number + length])
        around = generator.choice([('', ''), (' ', ''), ('', ' '), (' ', ' ')])
        if generator.random() < 0.2:
            blank, around = '', (blank, around[1])  # the blank stands within the marks alone
        answer += f'{blank}{opening}{around[0]}{inside}{around[1]}{closing}{generator.choice(NOISE)}'
        number += length
        expected.append(Span(starts[number - length], starts[number - 1] + len(words[number - 1])))
    tagged = tagged_spans(answer)
    assert tagged.text == text
    assert list(tagged.spans) == expected
    assert list(tagged.sources) == sorted(set(tagged.sources))
    assert ''.join(answer[place] for place in tagged.sources) == text


@pytest.mark.parametrize('seed', range(5))
def test_marks_thrown_anywhere_lose_no_character_or_are_refused(seed):
    """The reference: without boxes, an answer is plain text and closed pairs around plain text that holds a word."""
    generator = random.Random(seed)
    pieces = ['<ref>', '</ref>', '<ref>dog</ref>', '<p>', '</p>', '<p> dog </p>', '[SEG]', '<box>', '</box>', '(1,2)']
    pieces += ['<box>(1,2)</box>', 'dog', ' ', '\n', '.<']
    every_mark = '|'.join(re.escape(mark) for mark in [*PAIRS, *PAIRS.values(), '<box>', '</box>'])
    plain = f'(?:(?!{every_mark}).)'
    pairs = '|'.join(f'{re.escape(a)}(?={plain}*[a-z0-9]){plain}*{re.escape(b)}' for a, b in PAIRS.items())
    outcomes = []
    for _ in range(2000):
        answer = ''.join(generator.choice(pieces) for _ in range(generator.randint(1, 8)))
        bare = re.sub(r'<box>(\(1,2\)|\s)*</box>', '', answer).replace('[SEG]', '')
        well_formed = re.fullmatch(f'(?:{pairs}|{plain})*', bare, flags=re.DOTALL)
        outcomes.append(bool(well_formed and re.search(pairs, bare, flags=re.DOTALL)))
        if not well_formed:
            with pytest.raises(ValueError, match='at character '):
                tagged_spans(answer)
            continue
        tagged = tagged_spans(answer)
        assert ''.join(tagged.text.split()) == ''.join(re.sub(every_mark, '', bare).split())
        marked = [re.sub(every_mark, '', pair[0]).split() for pair in re.finditer(pairs, bare, flags=re.DOTALL)]
        assert [span.of(tagged.text).split() for span in tagged.spans] == marked
        assert all(span.of(tagged.text).strip() == span.of(tagged.text) for span in tagged.spans)
    assert 100 < sum(outcomes) < 1900  # both happen


def test_tokens_of_the_answer_with_marks_are_found():
    answer = 'I see <ref>the dog</ref><box>(1,2),(3,4)</box> run.'
    pieces = ['I', ' see', ' ', '<ref>', 'the', ' dog', '</ref>', '<box>', '(1,2),(3,4)', '</box>', ' run', '.']
    ends = [sum(map(len, pieces[: number + 1])) for number in range(len(pieces))]
    offsets = list(zip([0, *ends], ends, strict=False))
    tagged = tagged_spans(answer)
    plain = tagged.plain_offsets(offsets)
    assert [tagged.text[start:end] for start, end in plain] == [
        'I', ' see', ' ', '', 'the', ' dog', '', '', '', '', ' run', '.',
    ]  # fmt: skip
    assert span_tokens(plain, tagged.spans[0], tagged.text) == [4, 5]
    assert span_tokens(plain, Span(6, 17), tagged.text) == [4, 5, 10]
