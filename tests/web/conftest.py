"""The demo's model behind a page."""

import pytest

from flmm.grounder import Grounder, demo_folder


@pytest.fixture(scope='session')
def demo_grounder():
    return Grounder.from_pretrained(demo_folder())
