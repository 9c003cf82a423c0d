"""The demo's model behind a page, and the page on a server."""

import pytest
from chromium import chromium

from flmm.grounder import Grounder, demo_folder


@pytest.fixture(scope='session')
def demo_grounder():
    """All that it is asked for counts as being there, so that any words have a mask to look at."""
    grounder = Grounder.from_pretrained(demo_folder())
    grounder.model.existence_head.threshold.zero_()
    return grounder


@pytest.fixture(scope='module')
def address(page):
    """Where the ``page`` of the module is served."""
    # Here, since the other tests need no gradio.
    from flmm.web.examples import examples
    from flmm.web.server import served

    with served(page, model='demo model', note='A note.', examples=examples()) as address:
        yield address


@pytest.fixture(scope='module')
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser, address):
    """Open the page as another visitor; nothing may be loaded from elsewhere, and no script may fail."""
    contexts, elsewhere, errors = [], [], []

    def opened():
        context = browser.new_context(viewport={'width': 1280, 'height': 900}, accept_downloads=True)
        context.grant_permissions(['clipboard-read', 'clipboard-write'])
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        tab.on('request', lambda request: elsewhere.append(request.url))
        tab.on('pageerror', lambda error: errors.append(str(error)))
        tab.on('dialog', lambda dialog: errors.append(dialog.message))
        tab.goto(address)
        tab.wait_for_selector('#drop input[type=file]', state='attached')
        tab.wait_for_selector('#examples button')
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in elsewhere if not url.startswith((address, 'data:', 'blob:'))] == []
    assert errors == []
