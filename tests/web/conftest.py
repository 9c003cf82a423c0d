"""The demo's model behind a page."""

import pytest

from flmm.grounder import Grounder


@pytest.fixture(scope='session')
def demo_grounder():
    return Grounder.from_config('configs/shapes/demo.py', checkpoint='assets/model.safetensors')
