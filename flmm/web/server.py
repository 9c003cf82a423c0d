"""Starts the page: one process, no file served, nothing loaded from elsewhere."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from starlette.middleware import Middleware

from flmm.web.app import CSS, SCRIPT, THEME, build_app
from flmm.web.examples import Example
from flmm.web.guard import Guard
from flmm.web.page import Page


@contextlib.contextmanager
def served(
    page: Page, *, model: str, note: str, examples: list[Example], host: str = '127.0.0.1', port: int = 0
) -> Iterator[str]:
    """Serve a page for as long as the context lasts; uploads lie in a folder of its own, which is then deleted.

    Args:
        page: what answers.
        model: what the page calls the model.
        note: a sentence about it.
        examples: pictures to begin with.
        host: address to bind to.
        port: port to bind to; 0 takes one that is free.

    Yields:
        The page's address.

    Raises:
        OSError: the port is taken.
    """
    max_bytes = page.limits.max_upload_mb * 2**20
    # Gradio's components take the folder from there when they are made.
    with tempfile.TemporaryDirectory(prefix='flmm-page-') as folder, _environment(GRADIO_TEMP_DIR=folder):
        app = build_app(page, model=model, note=note, examples=examples)
        app.queue(max_size=page.limits.queue_size, api_open=False)
        _, address, _ = app.launch(
            server_name=host,
            server_port=port or None,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            show_error=False,
            footer_links=[],
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            max_file_size=max_bytes,
            app_kwargs={'middleware': [Middleware(Guard, max_bytes=max_bytes + 2**16)]},
            theme=THEME,
            css_paths=CSS,
            head=f'<script>{SCRIPT.read_text()}</script>',
        )
        try:
            yield address
        finally:
            app.close(verbose=False)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
