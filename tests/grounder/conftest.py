"""Frozen parts that saved grounders name."""

import pytest
from saved_grounders import write_frozen


@pytest.fixture(scope='module')
def frozen(tmp_path_factory):
    return write_frozen(tmp_path_factory.mktemp('frozen'))
