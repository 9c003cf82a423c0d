"""The page in a browser: what a visitor does and sees."""

import json
import re
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')

from bad_uploads import bad_uploads, picture, written
from page_client import PageClient
from page_tab import find, opaque, shown, status, toast, upload

from flmm.rle import decode_masks
from flmm.web.examples import examples
from flmm.web.limits import Limits
from flmm.web.page import Page
from flmm.web.server import served

pytestmark = pytest.mark.browser
LIMITS = Limits(max_upload_mb=2, max_pixels=4_000_000, queue_size=2, visitors=4, phrases=4)
TAKEN = [upload for upload in bad_uploads(max_upload_mb=LIMITS.max_upload_mb) if '/' not in upload[0]]
"""Without those whose names a browser shortens itself; test_app.py sends them."""


@pytest.fixture(scope='module')
def page(demo_grounder):
    return Page(grounder=demo_grounder, limits=LIMITS)


def test_words_show_their_masks(open_page, demo_grounder):
    tab, example = open_page(), examples()[0]
    upload(tab, 'scene.png', written(example.image, 'PNG'))
    status(tab, f'scene.png, {example.image.width} x {example.image.height} px, is read')
    phrases = ['the yellow heart', 'the blue circle']
    find(tab, '\n'.join(phrases))
    tab.wait_for_selector('#masks .flmm-word >> nth=1')
    masks = demo_grounder(example.image, [*phrases, 'heart']).masks.numpy()
    assert shown(tab) == ['0', '1']
    assert [opaque(tab, layer) for layer in '01'] == masks[:2].sum((1, 2)).tolist()
    colors = tab.eval_on_selector_all(
        '#masks .flmm-word', 'all => all.map(each => each.style.getPropertyValue("--mask"))'
    )
    assert len(set(colors)) == 2

    tab.hover('#masks .flmm-word >> nth=1')
    assert shown(tab) == ['1']
    tab.mouse.move(2, 2)
    assert shown(tab) == ['0', '1']
    tab.click('#masks .flmm-word >> nth=0')
    tab.mouse.move(2, 2)
    assert shown(tab) == ['0']
    tab.click('#masks .flmm-word >> nth=0')
    tab.mouse.move(2, 2)
    assert shown(tab) == ['0', '1']

    tab.dblclick('#phrases textarea', position={'x': 55, 'y': 20})  # a word of the first line
    tab.wait_for_selector('#span .flmm-word')
    assert tab.inner_text('#span bdi') == 'yellow'
    tab.eval_on_selector('#phrases textarea', 'box => { box.focus(); box.setSelectionRange(12, 14); box.dispatchEvent(new Event("select", {bubbles: true})); }')  # fmt: skip # noqa: E501
    tab.wait_for_function('document.querySelector("#span bdi")?.innerText === "heart"')
    assert shown(tab) == ['span']
    assert opaque(tab, 'span') == masks[2].sum()
    find(tab, 'the yellow heart')
    tab.wait_for_selector('#span .flmm-word', state='detached')
    assert shown(tab) == ['0']


def test_masks_are_taken_along(open_page, demo_grounder):
    tab, example = open_page(), examples()[1]
    assert not tab.is_visible('#copy')
    tab.click('[data-example="1"]')
    tab.wait_for_selector('#masks .flmm-word')
    assert tab.input_value('#phrases textarea').splitlines() == example.phrases
    tab.click('#copy')
    end, copied = time.monotonic() + 20, ''
    while not copied and time.monotonic() < end:
        time.sleep(0.1)
        copied = tab.evaluate('navigator.clipboard.readText()')
    rles = json.loads(copied)
    np.testing.assert_array_equal(decode_masks(rles), demo_grounder(example.image, example.phrases).masks.numpy())
    with tab.expect_download() as download:
        tab.click('#download')
    assert download.value.suggested_filename == 'masks.png'
    assert Path(download.value.path()).read_bytes().startswith(b'\x89PNG')


def test_the_other_views(open_page):
    tab = open_page()
    tab.click('button[role=tab]:has-text("Patches")')
    tab.wait_for_function('document.querySelector("#patches").innerText.includes("There is no image of yours here")')
    tab.click('[data-example="0"]')
    tab.click('button[role=tab]:has-text("Coarse")')
    number = len(examples()[0].phrases)
    tab.wait_for_selector(f'#coarse .flmm-row >> nth={number - 1}')
    assert tab.locator('#coarse figure').count() == 2 * number

    tab.click('button[role=tab]:has-text("Attention")')
    tab.click('#words button')
    tab.wait_for_selector('#attention .flmm-map')
    assert tab.locator('#attention .flmm-map.flmm-read').count() == 24
    tab.click('#attention .flmm-map >> nth=13')
    assert tab.inner_text('#attention .flmm-caption') == 'layer 2, head 1'
    assert tab.eval_on_selector('.flmm-large', 'large => large.style.getPropertyValue("--x")') == '1'

    tab.click('button[role=tab]:has-text("Patches")')
    tab.wait_for_selector('#patches .flmm-count')
    before = tab.inner_text('#patches .flmm-count')
    tab.fill('#alpha input[type=number]', '0.8')
    tab.press('#alpha input[type=number]', 'Enter')
    tab.wait_for_function('text => document.querySelector("#patches .flmm-count").innerText !== text', arg=before)
    counts = [int(re.match(r'(\d+) of \d+ tokens kept', text)[1]) for text in (before, tab.inner_text('.flmm-count'))]
    dense = int(re.search(r'of (\d+)', before)[1])
    assert counts[0] < counts[1] < dense
    tab.click('#how >> text=v2')
    tab.wait_for_function('document.querySelector("#alpha").innerText.includes("factor of the mean importance")')
    tab.fill('#alpha input[type=number]', '2.5')
    tab.press('#alpha input[type=number]', 'Enter')
    tab.click('#how >> text=budget')
    tab.wait_for_function('document.querySelector("#patches .flmm-count").innerText.includes("(100%)")')
    assert tab.locator('.toast-body').count() == 0
    tab.click('#how >> text=none')
    tab.wait_for_function('document.querySelector("#patches .flmm-count").innerText.includes("(100%)")')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'there is no phrase; write at least one'),
        ('???', "phrase '???' has no letter or digit"),
        ('a\nb\nc\nd\ne', 'there are 5 phrases; ask for at most 4 at once'),
        ('word ' * 390, 'tokens'),
        ('x' * 2001, 'the text has 2,001 characters'),
    ],
)
def test_what_is_wrong_with_phrases_is_said(open_page, text, message):
    tab = open_page()
    find(tab, text)
    assert 'there is no image of yours here' in toast(tab)
    tab.click('[data-example="0"]')
    tab.wait_for_selector('#masks .flmm-word')
    find(tab, text)
    assert message in toast(tab)
    find(tab, 'the yellow heart')
    tab.wait_for_selector('#masks .flmm-word >> nth=1', state='detached')
    assert tab.inner_text('#masks .flmm-word') == 'the yellow heart'


def test_an_image_that_had_to_make_place_is_to_be_uploaded_again(open_page, page):
    tab = open_page()
    tab.click('[data-example="0"]')
    tab.wait_for_selector('#masks .flmm-word')
    for visitor in 'abcd':
        page.read(examples()[0].image, name='x', visitor=visitor)
    find(tab, 'the yellow heart')
    assert 'upload it again: the images of the last 4 visitors are kept' in toast(tab)
    tab.click('#copy')
    assert 'upload it again' in toast(tab)


def test_a_busy_page_says_so(open_page, address, page, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(page, 'find', lambda *_, **__: gate.wait(60) and ('', '', ''))
    threads = [
        threading.Thread(target=PageClient(address).call, args=('find', 'click', 'the red thing')) for _ in range(4)
    ]
    tab = open_page()
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    find(tab, 'the red thing')
    message = toast(tab)
    gate.set()
    for thread in threads:
        thread.join(60)
    assert 'busy' in message


def test_bad_uploads(open_page):
    """One visitor, one file after another: each is read, or a message says why not, and the page goes on."""
    tab, said = open_page(), Counter()
    assert len(TAKEN) >= 50
    for name, content, is_read in TAKEN:
        tab.evaluate('document.querySelector("#status p").innerText = "waiting"')
        upload(tab, name, content)
        if len(content) > LIMITS.max_upload_mb * 2**20:
            assert 'exceed the maximum allowed size of 2.0' in toast(tab)
            continue
        tab.wait_for_function('!document.querySelector("#status").innerText.includes("waiting")')
        text = tab.inner_text('#status').strip()
        said[is_read] += 1
        assert ('is read' in text) == is_read, (name, text)
        assert 'Traceback' not in text
        assert text.startswith("image '") or is_read
        tab.wait_for_selector('#drop input[type=file]', state='attached')
    assert said[True] >= 10
    upload(tab, 'last.png', written(picture(), 'PNG'))
    status(tab, 'last.png, 120 x 90 px, is read')


@pytest.mark.slow
def test_four_clients_for_a_minute_are_answered(demo_grounder, record_testsuite_property):
    """Each asks for the next thing when it has the answer to the last."""
    seconds: dict[str, list[float]] = {}
    end, lock, failures = time.monotonic() + 60, threading.Lock(), []
    page = Page(grounder=demo_grounder, limits=Limits())

    def visit(address, number):
        client = PageClient(address)
        example = examples()[number % 3]
        image, text = written(example.image, 'JPEG'), '\n'.join(example.phrases)
        settings = ['budget', 0.4, 'laplacian', 'mean', 1, 4]
        calls = {
            'upload and read': lambda: client.read('scene.jpg', image),
            'find': lambda: client.call('find', 'click', text),
            'select words': lambda: client.call(
                'phrases', 'select', text, event_data={'index': [0, 5], 'value': text[:5]}
            ),
            'attention': lambda: client.call('words', 'submit', example.phrases[0]),
            'patches': lambda: client.call('alpha', 'change', *settings),
            'RLE': lambda: client.call('copy', 'click'),
        }
        while time.monotonic() < end:
            for name, call in calls.items():
                start = time.monotonic()
                try:
                    call()
                except Exception as error:  # noqa: BLE001 (counted, and raised by the assertion below)
                    failures.append(f'{name}: {error!r}')
                with lock:
                    seconds.setdefault(name, []).append(time.monotonic() - start)

    with served(page, model='', note='', examples=examples()) as address:
        threads = [threading.Thread(target=visit, args=(address, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    everything = [each for times in seconds.values() for each in times]
    assert min(map(len, seconds.values())) >= 4
    for name, times in {'all': everything, **seconds}.items():
        record_testsuite_property(
            name, f'{len(times)} requests, median {statistics.median(times):.3f} s, longest {max(times):.3f} s'
        )
