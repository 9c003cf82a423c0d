"""An answer with what it names in colours, against the interface of ReadImage.chat."""

import re
from collections import namedtuple
from dataclasses import dataclass

import pytest

from flmm.web.examples import examples
from flmm.web.pictures import color_of
from flmm.web.talk_view import talk_view

Span = namedtuple('Span', 'start end')


@dataclass
class Answer:
    """Names what begins with 'the'; says so of English alone."""

    text: str
    read: object
    extra: tuple = ()

    @property
    def spans(self):
        if 'ß' in self.text:
            raise ValueError('the text <is> not English')
        return (*self.extra, *(Span(*match.span()) for match in re.finditer(r'the \w+ \w+', self.text)))

    def ground(self, spans):
        return self.read.ground([self.text[start:end] for start, end in spans])


@pytest.fixture
def talk(demo_grounder, monkeypatch):
    read = demo_grounder.read(examples()[0].image)

    def talk(text, *extra):
        def chat(self, question):
            return Answer(f'{text} [{question}]', self, extra)

        monkeypatch.setattr(type(read), 'chat', chat, raising=False)
        return talk_view(read, 'What <is> there?')

    return talk


def line_of(html):
    return html.partition('<p class="flmm-answer">')[2].partition('</p>')[0]


def test_an_answer_keeps_its_text_with_what_it_names_in_colours(talk):
    html = talk('I see the yellow heart & the purple cross.')
    line = line_of(html)
    assert re.sub('<[^>]+>', '', line) == 'I see the yellow heart &amp; the purple cross. [What &lt;is&gt; there?]'
    words = re.findall(r'data-layer="(\d)" style="--mask:([\d,]+)">([^<]+)<', line)
    assert [(int(number), text) for number, _, text in words] == [(0, 'the yellow heart'), (1, 'the purple cross')]
    assert [tuple(map(int, rgb.split(','))) for _, rgb, _ in words] == [color_of(0), color_of(1)]
    assert len(re.findall(r'class="flmm-layer" data-of="\d"', html)) == 2


def test_of_parts_within_one_another_the_first_has_the_colour(talk):
    line = line_of(talk('I see the yellow heart.', Span(10, 22), Span(2, 5)))
    assert re.findall(r'data-layer="(\d)"[^>]*>([^<]+)<', line) == [('0', 'see'), ('1', 'the yellow heart')]
    assert re.sub('<[^>]+>', '', line).startswith('I see the yellow heart.')


def test_an_answer_that_names_nothing_is_text(talk):
    html = talk('Nothing.')
    assert line_of(html) == 'Nothing. [What &lt;is&gt; there?]'
    assert 'data-layer' not in html


def test_an_answer_whose_parts_cannot_be_told_is_text_with_the_reason(talk):
    html = talk('Ein großes Herz.')
    assert line_of(html) == 'Ein großes Herz. [What &lt;is&gt; there?]'
    assert '<p class="flmm-note">the text &lt;is&gt; not English</p>' in html
