"""What reaches the server behind the page, and what the page may load: an ASGI layer around all of it."""

from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = ('/', '/config', '/theme.css', '/favicon.ico', '/manifest.json', '/robots.txt')
PATHS = ('/assets/', '/static/', '/svelte/', '/pwa_icon')
CALLS = ('upload', 'upload_progress', 'queue/', 'heartbeat/', 'startup-events', 'theme.css', 'cancel', 'reset')
"""What the page needs of Gradio's routes below /gradio_api. Not among them: ``file=`` and ``proxy=``, by which Gradio
serves files and fetches addresses; ``run`` and ``call``, which pass by the queue.
"""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; form-action 'self'"
)
"""A browser then loads nothing from elsewhere, whatever Gradio's files name. They are made of inline scripts, and
compile the templates of HTML components.
"""

HEADERS = [
    (b'content-security-policy', POLICY.encode()),
    (b'x-content-type-options', b'nosniff'),
    (b'referrer-policy', b'no-referrer'),
]


class Guard:
    """Answers only what the page asks for, and refuses requests that are too large.

    Args:
        app: the server behind it.
        max_bytes: the largest body of a request.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it: 404 for paths that the page has no use for, 413 for a large body."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        if not _is_used(scope['path']):
            await PlainTextResponse('not found', status_code=404)(scope, receive, send)
            return
        headers = dict(scope['headers'])
        told = headers.get(b'content-length', b'0')
        if not told.isdigit() or int(told) > self.max_bytes:
            await self._too_large(scope, receive, send)
            return
        counted = _Counted(receive, self.max_bytes)

        async def send_guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message = {**message, 'headers': [*message['headers'], *HEADERS]}
            await send(message)

        await self.app(scope, counted, send_guarded)

    async def _too_large(self, *to: Any) -> None:
        text = f'the request has more than {self.max_bytes / 2**20:.0f} MB; send less'
        await PlainTextResponse(text, status_code=413)(*to)


class _Counted:
    """A body that says less than it holds ends where it is too long: the client is taken for gone."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self.receive, self.left = receive, max_bytes

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get('body', b''))
        return {'type': 'http.disconnect'} if self.left < 0 else message


def _is_used(path: str) -> bool:
    call = path.removeprefix('/gradio_api/')
    if call != path:
        return call.startswith(CALLS)
    return path in PAGES or path.startswith(PATHS)
