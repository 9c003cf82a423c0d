"""The demo's model behind a page, and the page on a server."""

import pytest

from flmm.grounder import Grounder, demo_folder


@pytest.fixture(scope='session')
def demo_grounder():
    return Grounder.from_pretrained(demo_folder())


@pytest.fixture(scope='module')
def address(page):
    """Where the ``page`` of the module is served."""
    # Here, since the other tests need no gradio.
    from flmm.web.examples import examples
    from flmm.web.server import served

    with served(page, model='demo model', note='A note.', examples=examples()) as address:
        yield address
