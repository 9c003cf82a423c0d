"""Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def chromium() -> Iterator[object]:
    """Start the browser without a window; skip where it, or Playwright, is not installed."""
    playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright; make test-web installs it')
    path = shutil.which('chromium')
    if path is None:
        pytest.skip('needs chromium; make test-web installs it')
    # Chromium's sandbox does not start for root, nor its GPU process in a container.
    options = ['--no-sandbox', '--disable-gpu']
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()
