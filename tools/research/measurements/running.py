"""Runs the commands of pages, and notes of each when and where it ran and what it printed."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from research.measurements.markdown import Code
from research.measurements.measurement import Command, read_json

from flmm.atomic_write import write_json


class CommandError(Exception):
    """A command of a page failed."""


def is_done(command: Command, code: Code, *, root: Path) -> bool:
    """Whether the results of a command are there, from the command as the page has it now as far as is known."""
    record = command.record_file(root)
    if record.exists() and read_json(record)['command'] != code.text:
        return False
    return all(any(root.glob(pattern)) for pattern in command.writes) and (bool(command.writes) or record.exists())


def run(command: Command, code: Code, *, root: Path) -> None:
    """Run a command from ``root``, show what it prints, and note the run.

    Raises:
        CommandError: it fails, or does not write what it should.
    """
    python = code.language == 'python'
    arguments = [sys.executable, '-c', code.text] if python else ['bash', '-ec', code.text]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', '')])  # 'python' is this one
    environment = {**os.environ, 'PATH': path, 'PYTHONUNBUFFERED': '1'}
    start = time.time()
    output = []
    with subprocess.Popen(arguments, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end='', flush=True)
            output.append(line)
    if process.returncode:
        raise CommandError(f'{command.text!r} failed with code {process.returncode}')
    absent = [pattern for pattern in command.writes if not any(root.glob(pattern))]
    if absent:
        raise CommandError(f'{command.text!r} ended, but wrote no {absent}')
    note = {
        'command': code.text,
        'output': ''.join(output),
        'seconds': round(time.time() - start),
        'environment': _environment(),
    }
    file = command.record_file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, note, indent=2)


def _environment() -> dict[str, Any]:
    import torch
    from research.benchmarks.measure import environment

    return environment(torch.device('cuda' if torch.cuda.is_available() else 'cpu'))


def forget(command: Command, *, root: Path) -> None:
    """Delete the results of a command, so that tools that go on where they stopped begin anew.

    Data stays: the tools that draw it know whether it is what they would draw.
    """
    for pattern in (pattern for pattern in command.writes if pattern.startswith('work_dirs/')):
        for file in root.glob(pattern):
            file.unlink()
    command.record_file(root).unlink(missing_ok=True)


def measured_on(commands: tuple[Command, ...], *, root: Path) -> str:
    """Say when, in what time and on what the commands ran, as it stands behind a table.

    Raises:
        ValueError: a command that the tool did not run itself, so that nobody knows.
    """
    files = [command.record_file(root) for command in commands]
    unknown = [command.text for command, file in zip(commands, files, strict=True) if not file.exists()]
    if unknown:
        raise ValueError(f'{unknown} ran without this tool, so when and on what is not known; --again runs it here')
    notes = [read_json(file) for file in files]
    places = {_place(note) for note in notes}
    if len(places) > 1:
        raise ValueError(f'{[command.text for command in commands]} ran in several places: {sorted(places)}; --again')
    seconds, date = sum(note['seconds'] for note in notes), max(note['environment']['date'] for note in notes)
    time_taken = f'{seconds / 60:.0f} min' if seconds >= 180 else f'{seconds} s'
    return f'Measured on {date} in {time_taken}: {places.pop()}.'


def _place(note: dict[str, Any]) -> str:
    found = note['environment']
    # A command that sets its threads says so itself.
    threads = '' if 'OMP_NUM_THREADS=' in note['command'] else f', threads: {found["threads"]}'
    versions = (f'{name} {found[name.lower()].partition("+")[0]}' for name in ('Python', 'torch', 'transformers'))
    return ', '.join([f'{found["device"]}{threads}', *versions])
