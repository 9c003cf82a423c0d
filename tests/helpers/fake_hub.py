"""A hub without a network: what huggingface_hub asks for over HTTP is answered here, and written down."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from huggingface_hub import close_session, set_client_factory
from huggingface_hub.utils._http import default_client_factory

COMMIT = '0123456789' * 4
NO_FILE = {'X-Error-Code': 'EntryNotFound', 'X-Repo-Commit': COMMIT}


@dataclass
class FakeHub:
    """Answers for repositories of models, each of one commit.

    Args:
        repositories: the folder of each, by name.

    Attributes:
        asked: paths of what was asked for, in order.
        uploaded: content of the files of a commit, by repository and path.
    """

    repositories: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    uploaded: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def __enter__(self) -> 'FakeHub':
        self._use(lambda: httpx2.Client(transport=httpx2.MockTransport(self.answer), follow_redirects=True))
        return self

    def __exit__(self, *error: object) -> None:
        self._use(default_client_factory)

    @staticmethod
    def _use(factory) -> None:
        close_session()
        set_client_factory(factory)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """What the hub answers."""
        path = request.url.path
        self.asked.append(f'{request.method} {path}')
        if path == '/api/repos/create':
            made = json.loads(request.content)
            name = f'{made["organization"]}/{made["name"]}'
            self.uploaded[name] = {}
            return httpx2.Response(200, json={'url': f'https://huggingface.co/{name}', 'id': name, 'name': name})
        if path == '/api/validate-yaml':
            return httpx2.Response(200, json={'errors': [], 'warnings': []})
        if '/preupload/' in path:
            files = [
                {'path': file['path'], 'uploadMode': 'regular', 'shouldIgnore': False}
                for file in json.loads(request.content)['files']
            ]
            return httpx2.Response(200, json={'files': files})
        if '/commit/' in path:
            return self._commit('/'.join(path.split('/')[3:5]), request.content)
        for name, folder in self.repositories.items():
            if name in path:
                return self._read(folder, path)
        return httpx2.Response(404, headers={'X-Error-Code': 'RepoNotFound'}, request=request)

    def _commit(self, name: str, content: bytes) -> httpx2.Response:
        for line in map(json.loads, content.splitlines()):
            if line['key'] == 'file':
                self.uploaded[name][line['value']['path']] = base64.b64decode(line['value']['content'])
        url = f'https://huggingface.co/{name}/commit/{COMMIT}'
        return httpx2.Response(200, json={'commitUrl': url, 'commitOid': COMMIT, 'pullRequestUrl': None})

    @staticmethod
    def _read(folder: Path, path: str) -> httpx2.Response:
        files = {str(file.relative_to(folder)): file for file in folder.rglob('*') if file.is_file()}
        if '/tree/' in path:
            below = path.split('/tree/')[1].partition('/')[2]
            listed = [
                {'type': 'file', 'path': name, 'size': file.stat().st_size, 'oid': COMMIT}
                for name, file in files.items()
                if name.startswith(below)
            ]
            return httpx2.Response(200, json=listed) if listed else httpx2.Response(404, headers=NO_FILE)
        if path.startswith('/api/models/'):
            siblings = [{'rfilename': name} for name in files]
            return httpx2.Response(200, json={'id': 'any/name', 'sha': COMMIT, 'siblings': siblings, 'tags': []})
        name = path.split('/resolve/')[1].partition('/')[2]
        if name not in files:
            return httpx2.Response(404, headers=NO_FILE)
        content = files[name].read_bytes()
        headers = {'ETag': f'"{hashlib.sha256(content).hexdigest()}"', 'X-Repo-Commit': COMMIT}
        return httpx2.Response(200, headers=headers, content=content)
