"""The command that serves the page."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import serve
from tiny_refcoco import REPOSITORY


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--model', 'folder', '--config', 'a.py'], '--model and --config are two ways to name one model; give one'),
        (['--checkpoint', 'a.pth'], '--checkpoint is the trained part of a --config; give that too'),
    ],
)
def test_options_that_do_not_go_together(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['serve.py', *arguments])
    with pytest.raises(SystemExit):
        serve.parse_args()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('limit', ['--max-upload-mb', '--max-pixels', '--queue-size', '--visitors'])
def test_a_limit_out_of_range_is_named_before_the_model_is_loaded(limit, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['serve.py', limit, '0'])
    monkeypatch.setattr(serve, 'load', lambda args: pytest.fail('loaded'))
    with pytest.raises(ValueError, match=f'{limit[2:].replace("-", "_")} is 0, expected a positive whole number'):
        serve.main()


@pytest.mark.parametrize('asked', [signal.SIGINT, signal.SIGTERM])
def test_the_page_starts_on_this_machine_and_ends_without_leaving_files(asked, tmp_path):
    pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')
    command = [sys.executable, 'tools/serve.py', '--port', '0']
    environment = {**os.environ, 'TMPDIR': str(tmp_path), 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.startswith('demo model on http://127.0.0.1:')
        assert [path.name for path in tmp_path.glob('flmm-page-*')]
        process.send_signal(asked)
        assert process.wait(60) == 0
    assert not list(tmp_path.glob('flmm-page-*'))


def test_a_port_that_is_taken_is_named(monkeypatch):
    pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')
    monkeypatch.setattr(signal, 'signal', lambda *_: None)  # pytest's own stay
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, 'argv', ['serve.py', '--port', str(port)])
        with pytest.raises(
            SystemExit, match=rf'the page cannot listen on 127\.0\.0\.1:{port} \(.*\); give another --port or --host'
        ):
            serve.main()
