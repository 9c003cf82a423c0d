"""A tiny grounder for all tests of archives."""

import pytest
from archives import archive_grounder
from threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope='session')
def grounder(tmp_path_factory):
    return archive_grounder(tmp_path_factory.mktemp('frozen'))
