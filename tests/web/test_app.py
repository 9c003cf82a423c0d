"""The server behind the page, without a browser."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')

from bad_uploads import bad_uploads, picture, written
from page_client import PageClient, Refused

from flmm.grounder import ReadImage
from flmm.web.examples import examples
from flmm.web.limits import Limits
from flmm.web.page import Page
from flmm.web.server import served

LIMITS = Limits(max_upload_mb=2, max_pixels=4_000_000, queue_size=2, visitors=3, phrases=4)
UPLOADS = list(bad_uploads(max_upload_mb=LIMITS.max_upload_mb))


@pytest.fixture(scope='module')
def page(demo_grounder):
    return Page(grounder=demo_grounder, limits=LIMITS)


@pytest.fixture
def client(address):
    return PageClient(address)


def status(answer):
    return re.sub('<[^>]+>', '', answer[-1])


@pytest.mark.parametrize(
    ('name', 'content', 'is_read'),
    UPLOADS,
    ids=[repr(name)[:20] for name, _, _ in UPLOADS],
)
def test_an_upload_ends_in_a_message_or_is_read(client, page, name, content, is_read):
    if len(content) > LIMITS.max_upload_mb * 2**20:
        with pytest.raises(Refused, match='File size exceeded maximum allowed size of 2097152 bytes'):
            client.read(name, content)
        return
    answer = client.read(name, content)
    if is_read:
        assert ' px, is read. Now write what to find.' in status(answer)
        assert '/' not in status(answer)
        found = client.call('find', 'click', 'the red thing')
        assert re.search(r'1 phrase in \d', found[3])
    else:
        assert status(answer).startswith('image &#x27;')
        assert 'Traceback' not in answer[-1]
        assert 'or raise' not in answer[-1]
        with pytest.raises(Refused, match='there is no image of yours here'):
            client.call('find', 'click', 'the red thing')


def test_an_example_is_read_and_found(client):
    masks, _, coarse, *_, line, phrases, words = client.call('examples', 'click', event_data={'index': 0})
    assert phrases.splitlines() == examples()[0].phrases
    assert words == examples()[0].phrases[0]
    assert masks.count('class="flmm-word"') == coarse.count('class="flmm-row"') == len(examples()[0].phrases)
    assert re.fullmatch(rf'<p>{len(examples()[0].phrases)} phrases in \d+\.\d\d s</p>', line)


@pytest.mark.parametrize('index', [3, -1, 'x', None])
def test_an_example_that_is_not_there_is_a_message(client, index):
    with pytest.raises(Refused, match='there is no example'):
        client.call('examples', 'click', event_data={'index': index})


def test_a_question_is_answered(client, monkeypatch):
    client.read('a.png', written(picture(), 'PNG'))
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, f'{question} A star.'))
    answer, said = client.call('question', 'submit', ' What is it? ')
    assert re.search('<p class="flmm-answer".*?</p>', answer)[0].count('star') == 1
    assert 'Select any words of the answer' in said
    key = re.search(r'data-key="(\w+)"', answer)[1]
    (said,) = client.call('answer', 'select', event_data={'answer': key, 'start': 14, 'end': 16})
    assert '<bdi>star</bdi>' in said


@pytest.mark.parametrize(
    ('sent', 'message'),
    [
        ({}, 'these words are of an answer that is gone'),
        ({'answer': 'another', 'start': 0, 'end': 3}, 'these words are of an answer that is gone'),
        ({'start': 0, 'end': 99}, r'the selection \(0, 99\) ends outside of the answer, which is 9 long'),
        ({'start': 2, 'end': 2}, 'there are no words in the selection; select some of the answer'),
        ({'start': 1, 'end': 2}, 'there are no words in the selection; select some of the answer'),
        ({'start': 8, 'end': 9}, 'has no letter or digit'),
        ({'start': None, 'end': [3]}, 'is not made of two whole numbers from 0 on'),
        ({'start': -4, 'end': 9}, 'is not made of two whole numbers from 0 on'),
    ],
)
def test_what_is_wrong_with_a_selection_is_a_message(client, page, monkeypatch, sent, message):
    client.read('a.png', written(picture(), 'PNG'))
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, 'I see it.'))
    client.call('question', 'submit', 'What is it?')
    key = page.visits.of(client.session).answer_key
    if 'start' in sent:
        sent = {'answer': key, **sent}
    with pytest.raises(Refused, match=message):
        client.call('answer', 'select', event_data=sent)


@pytest.mark.parametrize('index', [None, 3, [1], [0, 1, 2], ['0', '1'], [-5, 3]])
def test_a_selection_of_the_phrases_that_is_none_is_a_message(client, index):
    client.read('a.png', written(picture(), 'PNG'))
    with pytest.raises(Refused, match=r'the selection .* (has no start and end|is not made of two whole numbers)'):
        client.call('phrases', 'select', 'the red thing', event_data={'index': index, 'value': 'x'})


def test_a_message_has_no_advice_that_a_visitor_cannot_follow(client):
    client.read('a.png', written(picture(), 'PNG'))
    with pytest.raises(Refused, match=r'has 1559 tokens, max_phrase_tokens is 256; shorten it$'):
        client.call('find', 'click', 'word ' * 390)


@pytest.mark.parametrize('path', ['/etc/passwd', 'assets/model.safetensors', '../../etc/passwd'])
def test_a_path_of_the_server_is_no_upload(client, path):
    with pytest.raises(Refused, match='there is no such upload'):
        client.call('drop', 'upload', {'path': path, 'meta': {'_type': 'gradio.FileData'}})


@pytest.mark.parametrize('place', ['drop', 'words'])
@pytest.mark.parametrize('wrap', [lambda file: file, lambda file: [file], lambda file: {'x': {'y': [file]}}])
def test_no_address_is_looked_up(client, address, place, wrap):
    file = {'path': f'{address}favicon.ico', 'meta': {'_type': 'gradio.FileData'}}
    with pytest.raises(Refused, match='addresses are not looked up'):
        client.call(place, 'upload' if place == 'drop' else 'submit', wrap(file))


def test_files_are_not_served(client):
    path = client.upload('a.png', written(picture(), 'PNG'))['path']
    assert Path(path).is_file()
    assert client.http.get(f'gradio_api/file={path}').status_code == 404
    assert client.http.get('gradio_api/file=pyproject.toml').status_code == 404


def test_a_visitor_who_leaves_is_forgotten(client, page):
    client.read('a.png', written(picture(), 'PNG'))
    assert page.visits.of(client.session)
    client.call(None, 'unload')
    with pytest.raises(ValueError, match='there is no image of yours here'):
        page.visits.of(client.session)


def test_a_full_queue_is_a_message(address, page, monkeypatch):
    """Two calls run, two wait; the fifth is told so, and the four are answered."""
    gate, find = threading.Event(), page.find
    monkeypatch.setattr(page, 'find', lambda *text, **visitor: gate.wait(60) and find(*text, **visitor))
    clients = [PageClient(address) for _ in range(5)]
    for client in clients[:2]:
        client.read('a.png', written(picture(), 'PNG'))
    answers = []

    def ask(client):
        try:
            answers.append(client.call('find', 'click', 'the red thing'))
        except Refused as refused:
            answers.append(str(refused))

    threads = [threading.Thread(target=ask, args=[client]) for client in clients[:4]]
    for thread in threads:
        thread.start()
        threading.Event().wait(0.5)
    with pytest.raises(Refused, match='Queue is full'):
        clients[4].call('find', 'click', 'the red thing')
    gate.set()
    for thread in threads:
        thread.join(60)
    messages = [answer for answer in answers if isinstance(answer, str)]
    assert len(answers) == 4
    assert len(messages) == 2
    assert all('there is no image of yours here' in message for message in messages)


def test_the_server_asks_nobody(page):
    """No name is looked up and no address called but its own, from start to end."""
    asked, watching = [], True

    def watch(event, arguments):
        if watching and event in ('socket.connect', 'socket.getaddrinfo'):
            asked.append(arguments[1][0] if event == 'socket.connect' else arguments[0])

    sys.addaudithook(watch)  # for good: there is no way to take one back
    with served(page, model='', note='', examples=examples()) as address:
        client = PageClient(address)
        client.call('examples', 'click', event_data={'index': 0})
        client.read('a.png', written(picture(), 'PNG'))
    watching = False
    assert '127.0.0.1' in asked
    assert set(asked) <= {'127.0.0.1', 'localhost', None, '/', '\0'}


def test_the_folder_of_uploads_goes_with_the_server(page):
    before = os.environ.get('GRADIO_TEMP_DIR')
    with served(page, model='', note='', examples=[]) as address:
        path = Path(PageClient(address).upload('a.png', b'x')['path'])
        folder = path.parents[1]
        assert folder.name.startswith('flmm-page-')
    assert not folder.exists()
    assert os.environ.get('GRADIO_TEMP_DIR') == before
