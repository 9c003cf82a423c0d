"""A visitor of the web page without a browser: the requests that Gradio's script sends."""

import json
import uuid
from typing import Any

import httpx


class Refused(Exception):
    """The page answered with a message."""


class PageClient:
    """One visitor.

    Args:
        address: of the page, with a slash at the end.
    """

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=120)
        self.session = uuid.uuid4().hex
        config = self.http.get('config').raise_for_status().json()
        names = {component['id']: component['props'].get('elem_id') for component in config['components']}
        self.functions = {
            (names.get(target), event): (function['id'], target)
            for function in config['dependencies']
            for target, event in function['targets']
        }

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a file; returns what an event takes for it."""
        answer = self.http.post('gradio_api/upload', files={'files': (name, content)})
        if answer.status_code != 200:
            raise Refused(answer.text)
        return {'path': answer.json()[0], 'meta': {'_type': 'gradio.FileData'}, 'orig_name': name}

    def call(self, place: str, event: str, *data: Any, event_data: Any = None) -> list[Any]:
        """Let an event happen at the element with the id ``place``; returns what its function returns."""
        function, target = self.functions[place, event]
        body = {'data': data, 'fn_index': function, 'session_hash': self.session, 'trigger_id': target}
        joined = self.http.post('gradio_api/queue/join', json={**body, 'event_data': event_data})
        if joined.status_code != 200:
            raise Refused(joined.text)
        with self.http.stream('GET', 'gradio_api/queue/data', params={'session_hash': self.session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix('data:')) if line.startswith('data:') else {}
                if message.get('msg') == 'process_completed':
                    if not message['success']:
                        raise Refused(message['output']['error'])
                    return message['output']['data']
        raise ConnectionError('the stream of answers ended without one')

    def read(self, name: str, content: bytes) -> list[Any]:
        """Upload an image and have it read."""
        return self.call('drop', 'upload', self.upload(name, content))
