"""What passes the layer before the server."""

import asyncio

import pytest

pytest.importorskip('starlette', reason='the page needs the extra web: pip install flmm[web]')

from flmm.web.guard import Guard


async def behind(scope, receive, send):
    """Reads the whole body and says how much it was."""
    size = 0
    while True:
        message = await receive()
        if message['type'] == 'http.disconnect':
            return
        size += len(message.get('body', b''))
        if not message.get('more_body'):
            break
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'x-size', str(size).encode())]})
    await send({'type': 'http.response.body', 'body': b''})


def ask(path, *, parts=(b'',), headers=()):
    """The start of the answer; None where there is none."""
    body = [{'type': 'http.request', 'body': part, 'more_body': True} for part in parts]
    body[-1]['more_body'] = False
    sent = []

    async def receive():
        return body.pop(0)

    async def send(message):
        sent.append(message)

    scope = {'type': 'http', 'method': 'POST', 'path': path, 'headers': list(headers)}
    asyncio.run(Guard(behind, max_bytes=10)(scope, receive, send))
    return sent[0] if sent else None


@pytest.mark.parametrize(
    'path',
    [
        '/', '/config', '/assets/index.js', '/static/img/logo.svg', '/theme.css', '/gradio_api/upload',
        '/gradio_api/queue/join', '/gradio_api/queue/data', '/gradio_api/heartbeat/abc', '/gradio_api/startup-events',
    ],
)  # fmt: skip
def test_what_the_page_needs_passes_with_a_policy(path):
    start = ask(path)
    assert start['status'] == 200
    policy = dict(start['headers'])[b'content-security-policy'].decode()
    assert policy.startswith("default-src 'self';")
    assert 'http' not in policy


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/file=/etc/passwd', '/gradio_api/proxy=http://host/', '/gradio_api/run/find',
        '/gradio_api/call/find', '/gradio_api/info', '/gradio_api/openapi.json', '/monitoring', '/docs',
        '/openapi.json', '/gradio_api/vibe-edit', '/gradio_api/component_server',
        '/file=/etc/passwd', '/login', '', '/../etc/passwd',
    ],
)  # fmt: skip
def test_the_rest_of_gradio_is_not_there(path):
    assert ask(path)['status'] == 404


def test_a_body_up_to_the_limit_passes():
    start = ask('/gradio_api/upload', parts=[b'12345', b'67890'], headers=[(b'content-length', b'10')])
    assert (start['status'], dict(start['headers'])[b'x-size']) == (200, b'10')


@pytest.mark.parametrize('length', [b'11', b'99999999999999', b'-1', b'many', b''])
def test_a_length_over_the_limit_is_refused_before_the_body_is_read(length):
    assert ask('/gradio_api/upload', headers=[(b'content-length', length)])['status'] == 413


@pytest.mark.parametrize('headers', [[], [(b'content-length', b'3')]])
def test_a_body_that_says_nothing_or_less_of_its_length_ends_at_the_limit(headers):
    assert ask('/gradio_api/upload', parts=[b'123456', b'123456'], headers=headers) is None
