"""Answers in a browser: words that the mouse selects show their mask."""

import threading

import pytest

pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')

from bad_uploads import written
from page_tab import opaque, shown, status, toast, upload

from flmm.grounder import ReadImage
from flmm.web.examples import examples
from flmm.web.limits import Limits
from flmm.web.page import Page

pytestmark = pytest.mark.browser
ANSWER = (
    '\U0001f600 I see a heart \U0001f600\U0001f600 and 一只红色的狗, <b>the purple cross</b> &amp; a square.\r\n\r\n'
    'The heart\x00 قلب أصفر is yellow <script>document.title = "taken"</script>'
)
PLACES = {
    'a heart': ('heart', 0),
    'from the start of a phrase': ('a heart', 0),
    'the second heart': ('heart', 1),
    'half a word': ('ear', 1),
    'an emoji before': ('see a', 0),
    'Chinese': ('红色的狗', 0),
    'HTML': ('purple cross</b> &amp; a', 0),
    'two lines': ('square.\r\n\r\nThe', 0),
    'Arabic': ('أصفر', 0),
    'a script': ('yellow <script>', 0),
}


@pytest.fixture(scope='module')
def page(demo_grounder):
    return Page(grounder=demo_grounder, limits=Limits(queue_size=4, visitors=4))


@pytest.fixture
def answers(monkeypatch):
    """What the LMM says to each question; the demo's says little."""
    said = {'What?': ANSWER}
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, said[question]))
    return said


@pytest.fixture
def tab(open_page, answers):
    tab = open_page()
    tab.set_viewport_size({'width': 1280, 'height': 1300})  # a mouse that leaves it scrolls
    tab.click('[data-example="0"]')
    tab.wait_for_selector('#masks .flmm-word')
    ask(tab, 'What?')
    return tab


def ask(tab, question):
    tab.click('button[role=tab]:has-text("Talk")')
    tab.fill('#question textarea', question)
    tab.click('#question button')
    tab.wait_for_selector('#answer .flmm-answer')


def select(tab, words, number=0):
    """Drag the mouse over words of the answer, those that stand there for the ``number``-th time."""
    ends = tab.evaluate(
        """([start, length]) => {
            const walker = document.createTreeWalker(document.querySelector('.flmm-answer'), NodeFilter.SHOW_TEXT);
            const [range, ends] = [document.createRange(), []];
            for (let node, at = 0; (node = walker.nextNode()); at += node.length) {
                for (const place of [start, start + length - 1]) {
                    if (place < at || place >= at + node.length) continue;
                    range.setStart(node, place - at);
                    range.setEnd(node, place - at + 1);
                    const {left, right, top, bottom} = range.getBoundingClientRect();
                    ends.push({left, right, y: (top + bottom) / 2});
                }
            }
            return ends;
        }""",
        [len(before(words, number).encode('utf-16-le')) // 2, len(words.encode('utf-16-le')) // 2],
    )
    first, last = ends
    leftwards = '\u0600' <= words[0] <= '\u06ff'
    tab.mouse.move(first['right' if leftwards else 'left'] + (-1 if leftwards else 1), first['y'])
    tab.mouse.down()
    tab.mouse.move(last['left' if leftwards else 'right'] + (1 if leftwards else -1), last['y'], steps=4)
    tab.mouse.up()


def before(words, number):
    parts = ANSWER.split(words)
    return words.join(parts[: number + 1])


def selected(tab):
    return tab.wait_for_selector('#said bdi').inner_text()  # beside it may stand that they are not there


@pytest.mark.parametrize('name', PLACES)
def test_selected_words_show_the_mask_that_they_have_there(tab, page, name):
    words, number = PLACES[name]
    select(tab, words, number)
    tab.wait_for_selector('#said .flmm-word')
    shown_text = tab.eval_on_selector('#said bdi', 'all => all.textContent')
    answer = page.grounder.read(examples()[0].image).given_answer('What?', ANSWER)
    start = len(before(words, number))
    start, end = (start - 1, start + 4) if words == 'ear' else (start, start + len(words))
    assert shown_text == ANSWER[start:end].replace('\x00', '\ufffd')
    mask = answer.ground([(start, end)]).masks[0].numpy()
    assert 0 < mask.sum() < mask.size
    tab.mouse.move(2, 2)
    assert shown(tab, '#answer') == ['span']
    assert opaque(tab, 'span', '#answer') == mask.sum()
    assert tab.title() == 'flmm'


def test_what_is_wrong_with_a_selection_is_said(tab, page, answers):
    select(tab, '\U0001f600', 0)
    assert 'has no letter or digit' in toast(tab)
    select(tab, 'see', 0)
    assert selected(tab) == 'see'
    (visitor,) = page.visits._visits
    key, answer = page.visits.of(visitor).answer_key, page.visits.of(visitor).answer
    page.visits.of(visitor).answer_key = 'another'  # as if it had been asked from elsewhere
    select(tab, 'purple', 0)
    assert 'these words are of an answer that is gone' in toast(tab)
    page.visits.of(visitor).answer_key = key
    select(tab, 'cross', 0)
    tab.wait_for_function('document.querySelector("#said bdi").innerText === "cross"')
    assert page.visits.of(visitor).answer is answer


def test_a_selection_outside_of_the_answer_asks_nothing_and_one_across_its_end_ends_there(tab, page, monkeypatch):
    asked = []
    said = page.said
    monkeypatch.setattr(page, 'said', lambda *args, **visitor: asked.append(args[1:]) or said(*args, **visitor))
    tab.dblclick('#answer .flmm-note')
    tab.wait_for_timeout(600)
    assert asked == []
    box = tab.locator('#answer .flmm-note').bounding_box()
    first = tab.locator('#answer .flmm-word >> nth=0').bounding_box()
    tab.mouse.move(first['x'] + 8, first['y'] + first['height'] / 2)
    tab.mouse.down()
    tab.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2, steps=4)
    tab.wait_for_timeout(600)
    assert asked == []  # as long as the mouse is held
    tab.mouse.up()
    tab.wait_for_selector('#said .flmm-word')
    assert [end for _, end in asked] == [len(ANSWER.encode('utf-16-le')) // 2]


def test_words_that_are_pressed_and_selected_do_one_thing_each(tab):
    """A click keeps their mask, a drag over some of them asks for that of those."""
    tab.click('#answer .flmm-word >> nth=0')
    tab.mouse.move(2, 2)
    assert shown(tab, '#answer') == ['0']
    tab.keyboard.press('Enter')  # it has the focus
    tab.keyboard.press('Tab')
    assert shown(tab, '#answer') == ['1']
    tab.keyboard.press(' ')
    select(tab, 'purple')
    assert selected(tab) == 'purple'
    tab.mouse.move(2, 2)
    assert shown(tab, '#answer') == ['span']
    tab.click('#said .flmm-word')
    tab.mouse.move(2, 2)
    tab.evaluate('document.activeElement.blur()')
    assert 'span' not in shown(tab, '#answer')


def test_words_are_selected_while_the_next_question_is_answered(tab, page, answers, monkeypatch):
    gate, chat = threading.Event(), ReadImage.chat
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: gate.wait(60) and chat(read, question))
    answers['And?'] = 'Nothing else.'
    ask(tab, 'And?')
    select(tab, 'purple')
    assert selected(tab) == 'purple'
    gate.set()
    tab.wait_for_function('document.querySelector("#answer .flmm-answer").innerText === "Nothing else."')
    tab.wait_for_selector('#said .flmm-word', state='detached')
    assert 'Select any words' in tab.inner_text('#said')


def test_nothing_of_the_image_before_stays(tab, page):
    """Answer, selected words, attention and patches go; patches are drawn at once where their tab is open."""
    select(tab, 'purple')
    assert selected(tab) == 'purple'
    tab.click('button[role=tab]:has-text("Patches")')
    tab.wait_for_selector('#patches .flmm-count')
    before = tab.get_attribute('#patches img', 'src')
    upload(tab, 'other.png', written(examples()[1].image, 'PNG'))
    status(tab, 'other.png')
    tab.wait_for_function('src => (document.querySelector("#patches img")?.src ?? src) !== src', arg=before)
    assert tab.locator('#answer .flmm-answer, #said .flmm-word, #masks .flmm-word').count() == 0


def test_an_upload_that_ends_after_an_example_takes_its_place(tab, page, monkeypatch):
    gate, read_file, names = threading.Event(), page.read_file, []

    def read(path, *, visitor):
        names.append(path)
        gate.wait(60)
        return read_file(path, visitor=visitor)

    monkeypatch.setattr(page, 'read_file', read)
    upload(tab, 'first.png', written(examples()[1].image, 'PNG'))
    tab.wait_for_timeout(500)
    tab.click('[data-example="2"]')
    phrases = '\n'.join(examples()[2].phrases)
    tab.wait_for_function('text => document.querySelector("#phrases textarea").value === text', arg=phrases)
    gate.set()
    status(tab, 'first.png')
    assert len(names) == 1
    (visitor,) = page.visits._visits
    assert page.visits.of(visitor).read.name == 'first.png'
    assert tab.locator('#masks .flmm-word').count() == 0
