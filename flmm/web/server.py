"""Starts the page: one process, no file served, nothing loaded from elsewhere."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

import gradio as gr
from starlette.middleware import Middleware

from flmm.web.app import CSS, SCRIPT, THEME
from flmm.web.guard import Guard
from flmm.web.limits import Limits


@contextlib.contextmanager
def served(app: gr.Blocks, *, limits: Limits, host: str, port: int) -> Iterator[str]:
    """Serve a page for as long as the context lasts; uploads lie in a folder of its own, which is then deleted.

    Args:
        app: what :func:`flmm.web.app.build_app` made.
        limits: of uploads and of the queue.
        host: address to bind to.
        port: port to bind to; 0 takes one that is free.

    Yields:
        The page's address.
    """
    max_bytes = limits.max_upload_mb * 2**20
    with tempfile.TemporaryDirectory(prefix='flmm-page-') as folder, _environment(GRADIO_TEMP_DIR=folder):
        app.GRADIO_CACHE = folder
        app.queue(max_size=limits.queue_size, api_open=False)
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
            blocked_paths=['/'],
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
