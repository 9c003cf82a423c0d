"""What an answer speaks of in its colours; the words are put into the LMM's mouth."""

import re

import pytest

from flmm.grounder import ReadImage
from flmm.web.examples import examples
from flmm.web.pictures import color_of
from flmm.web.talk_view import talk_view


@pytest.fixture
def view(demo_grounder, monkeypatch):
    """The page's HTML for a question that is answered with the given words."""

    def show(text):
        monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, text))
        return talk_view(demo_grounder.read(examples()[0].image), 'What <is> there?')

    return show


def answer_line(html):
    return html.partition('<p class="flmm-answer">')[2].partition('</p>')[0]


def note(html):
    return html.partition('<p class="flmm-note">')[2].partition('</p>')[0]


def colored(html):
    words = re.findall(r'data-layer="(\d)" style="--mask:([\d,]+)">([^<]+)<', answer_line(html))
    assert [tuple(map(int, rgb.split(','))) for _, rgb, _ in words] == [color_of(i) for i in range(len(words))]
    assert len(re.findall(r'class="flmm-layer" data-of="\d"', html)) == len(words)
    return [text for _, _, text in words]


def test_an_answer_keeps_its_text_with_its_noun_phrases_in_colours(view):
    html = view('I see the yellow heart & the purple cross.')
    assert re.sub('<[^>]+>', '', answer_line(html)) == 'I see the yellow heart &amp; the purple cross.'
    assert colored(html) == ['the yellow heart', 'the purple cross']
    assert note(html) in ('Noun phrases by spaCy.', 'Noun phrases by lists of words.')


def test_what_the_model_has_marked_comes_first(view):
    html = view('I see <ref>the yellow heart</ref> and a cross.')
    assert re.sub('<[^>]+>', '', answer_line(html)) == 'I see the yellow heart and a cross.'
    assert colored(html) == ['the yellow heart']
    assert note(html) == 'The model has marked these words itself.'


def test_marks_that_do_not_fit_are_text(view):
    html = view('I see <ref>the yellow heart.')
    assert re.sub('<[^>]+>', '', answer_line(html)) == 'I see &lt;ref&gt;the yellow heart.'
    assert note(html).startswith('Marks in the answer were taken for text: ')


def test_an_answer_without_noun_phrases_is_text(view):
    html = view('It is.')
    assert answer_line(html) == 'It is.'
    assert 'data-layer' not in html


def test_an_answer_whose_noun_phrases_cannot_be_told_says_so(view):
    html = view('\u56fe\u4e2d\u6709\u4e00\u53ea\u732b\u3002')
    assert colored(html) == []
    assert note(html)
