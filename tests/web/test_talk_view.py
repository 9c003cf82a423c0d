"""The answer's noun phrases in their colours, against the interface of flmm.chat."""

import re
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from flmm.web.examples import examples
from flmm.web.pictures import color_of
from flmm.web.talk_view import talk_view


@dataclass
class Answer:
    text: str
    read: object

    def ground(self, spans):
        return self.read.ground([self.text[start:end] for start, end in spans])


@pytest.fixture
def chat(monkeypatch):
    """Stands in for flmm.chat: the noun phrases are what begins with 'the'."""
    spans = ModuleType('flmm.chat.spans')
    spans.noun_phrases = lambda text: [match.span() for match in re.finditer(r'the \w+ \w+', text)]
    monkeypatch.setitem(sys.modules, 'flmm.chat', ModuleType('flmm.chat'))
    monkeypatch.setitem(sys.modules, 'flmm.chat.spans', spans)


def answer_of(demo_grounder, monkeypatch, text):
    read = demo_grounder.read(examples()[0].image)
    monkeypatch.setattr(type(read), 'chat', lambda self, question: Answer(f'{text} [{question}]', self), raising=False)
    return talk_view(read, 'What <is> there?')


@pytest.mark.usefixtures('chat')
def test_an_answer_keeps_its_text_with_its_noun_phrases_in_colours(demo_grounder, monkeypatch):
    html = answer_of(demo_grounder, monkeypatch, 'I see the yellow heart & the purple cross.')
    line = html.partition('<p class="flmm-answer">')[2].partition('</p>')[0]
    assert re.sub('<[^>]+>', '', line) == ('I see the yellow heart &amp; the purple cross. [What &lt;is&gt; there?]')
    words = re.findall(r'data-layer="(\d)" style="--mask:([\d,]+)">([^<]+)<', line)
    assert [(int(number), text) for number, _, text in words] == [(0, 'the yellow heart'), (1, 'the purple cross')]
    assert [tuple(map(int, rgb.split(','))) for _, rgb, _ in words] == [color_of(0), color_of(1)]
    assert len(re.findall(r'class="flmm-layer" data-of="\d"', html)) == 2


@pytest.mark.usefixtures('chat')
def test_an_answer_without_noun_phrases_is_text(demo_grounder, monkeypatch):
    html = answer_of(demo_grounder, monkeypatch, 'Nothing.')
    assert 'Nothing. [What &lt;is&gt; there?]' in html
    assert 'data-layer' not in html
