"""What an answer speaks of in its colours; the words are put into the LMM's mouth."""

import html
import re

import pytest

from flmm.visualization import colour_of
from flmm.web.examples import examples
from flmm.web.talk_view import talk_view
from flmm.web.views import as_text


@pytest.fixture
def view(demo_grounder):
    """The page's HTML for a question that is answered with the given words."""

    def show(text):
        return talk_view(demo_grounder.read(examples()[0].image).given_answer('What is there?', text), key='k')

    return show


def answer_line(page):
    return page.partition('<p class="flmm-answer" dir="auto">')[2].partition('</p>')[0]


def note(page):
    return page.partition('<p class="flmm-note">')[2].partition('</p>')[0]


def colored(html):
    words = re.findall(
        r'style="--mask:([\d,]+)" role="button" tabindex="0" data-layer="(\d)"><bdi>([^<]+)<', answer_line(html)
    )
    assert [tuple(map(int, rgb.split(','))) for rgb, _, _ in words] == [colour_of(i) for i in range(len(words))]
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


def test_an_answer_with_html_in_it_is_text(view):
    text = 'See <script>alert("heart")</script> & <img src=x onerror=alert(1)> the &lt;b&gt; star.'
    line = answer_line(view(text))
    assert set(re.findall('<([a-z]+)', line)) == {'span', 'bdi'}
    assert html.unescape(re.sub('<[^>]+>', '', line)) == text


def test_a_browser_counts_the_same_characters():
    """HTML makes one line end of two characters, and leaves NUL out."""
    assert as_text('a\r\nb\0<') == 'a&#13;\nb\ufffd&lt;'
