"""Gradio, so that nothing is fetched, what is wrong becomes a message, and few calls run at once."""

import contextlib
import re
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
import torch
from gradio.exceptions import InvalidPathError
from gradio_client.utils import is_http_url_like

from flmm.web.limits import MODEL_CALLS_AT_ONCE

MODEL = {'concurrency_id': 'model', 'concurrency_limit': MODEL_CALLS_AT_ONCE, 'api_visibility': 'private'}
DRAW = {'concurrency_id': 'draw', 'concurrency_limit': MODEL_CALLS_AT_ONCE, 'api_visibility': 'private'}
"""For events that run the model, and for those that only draw what it has said."""
NOT_FOR_VISITORS = re.compile(r""", or raise [^'"]*$""")
"""Advice at the end of a message, not for visitors. What stands in quotes, such as phrases, is the visitor's."""


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """Turn what is wrong with a visitor's wish into a message on the page."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(escape(re.sub(NOT_FOR_VISITORS, '', str(error))), print_exception=False) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        text = 'there is not enough memory for that; take a smaller image or fewer phrases'
        raise gr.Error(text, print_exception=False) from error


def visitor_of(request: gr.Request) -> str:
    """Return what names the visitor: each tab of a browser is one, until it is reloaded.

    Raises:
        ValueError: the call names none.
    """
    if not request.session_hash:
        raise ValueError('the call is of no session; reload the page')
    return request.session_hash


def sent_with(event: gr.EventData, *names: str) -> list[Any]:
    """Return what the script of the page has sent with an event; None for what is missing."""
    return [getattr(event, name, None) for name in names]


class LocalBlocks(gr.Blocks):
    """Blocks that fetch nothing: Gradio would download a file whose path is an address, whichever input names it."""

    is_template = True

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Take the inputs of an event apart, as Gradio does."""
        if any(is_http_url_like(path) for path in _paths_in(inputs)):
            raise gr.Error('a file is to be uploaded; addresses are not looked up', print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except InvalidPathError as error:
            raise gr.Error('there is no such upload; upload the file again', print_exception=False) from error


def _paths_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(value.get('path'), str):
        yield value['path']
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _paths_in(part)
