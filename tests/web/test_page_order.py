"""Calls that overlap, in a browser: what the page shows is what the server keeps."""

import json
import threading

import pytest

pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')

from bad_uploads import written
from page_tab import find, status, toast, upload

from flmm.grounder import ReadImage
from flmm.web.examples import examples
from flmm.web.limits import Limits
from flmm.web.page import Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope='module')
def page(demo_grounder):
    return Page(grounder=demo_grounder, limits=Limits(queue_size=4, visitors=4))


@pytest.fixture
def gate(monkeypatch):
    """While it is closed, the model finds no 'gated heart'."""
    gate, ground = threading.Event(), ReadImage.ground
    monkeypatch.setattr(
        ReadImage,
        'ground',
        lambda read, phrases: ('gated heart' not in phrases or gate.wait(60)) and ground(read, phrases),
    )
    yield gate
    gate.set()


def searching(tab):
    """A tab with an example, in which a search goes on until the gate opens."""
    tab.click('[data-example="0"]')
    tab.wait_for_selector('#masks .flmm-word')
    find(tab, 'gated heart')
    tab.wait_for_timeout(500)
    return tab


def words(tab):
    return tab.locator('#masks .flmm-word').all_inner_texts()


def test_an_image_that_comes_while_another_is_searched_is_what_is_shown(open_page, page, gate):
    tab = searching(open_page())
    tab.click('[data-example="1"]')
    phrases = examples()[1].phrases
    tab.wait_for_function('text => document.querySelector("#phrases textarea").value === text', arg='\n'.join(phrases))
    gate.set()
    assert 'another image came while this one was asked about; ask again about that' in toast(tab)
    assert words(tab) == phrases
    (visitor,) = page.visits._visits
    assert [rle['phrase'] for rle in json.loads(page.rle(visitor))] == phrases


def test_of_two_searches_in_a_row_the_last_is_shown(open_page, page, gate):
    tab = searching(open_page())
    find(tab, 'the yellow heart')
    tab.wait_for_timeout(500)
    gate.set()
    tab.wait_for_function('document.querySelector("#masks .flmm-word").innerText === "the yellow heart"')


def test_the_next_image_can_be_dropped_when_the_last_is_read(open_page, page, monkeypatch):
    tab, gate, read_file = open_page(), threading.Event(), page.read_file
    monkeypatch.setattr(page, 'read_file', lambda path, *, visitor: gate.wait(60) and read_file(path, visitor=visitor))
    upload(tab, 'first.png', written(examples()[0].image, 'PNG'))
    tab.wait_for_selector('#drop input[type=file]', state='detached')
    gate.set()
    status(tab, 'first.png')
    upload(tab, 'second.png', written(examples()[1].image, 'PNG'))
    status(tab, 'second.png')


def test_two_tabs_are_two_visitors(open_page):
    one, other = open_page(), open_page()
    for number, tab in enumerate((one, other)):
        tab.click(f'[data-example="{number}"]')
        tab.wait_for_selector('#masks .flmm-word')
    assert [words(one), words(other)] == [examples()[0].phrases, examples()[1].phrases]
    find(one, 'the yellow heart')
    one.wait_for_selector('#masks .flmm-word >> nth=1', state='detached')
    assert words(other) == examples()[1].phrases
    one.reload()
    one.wait_for_selector('#examples button')
    find(one, 'the yellow heart')
    assert 'there is no image of yours here' in toast(one)
