"""What a measurement is: commands that a page names, and tables made of what these commands write."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDS = Path('work_dirs', 'reproduce')
"""What the tool notes of each command that it ran itself, from the root of the repository."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a page.

    Args:
        text: The command, or as much of it as finds it in the page: what runs is the whole line or block that is there.
        writes: Patterns of the files that it writes, from the root of the repository. Where each has a file, the
            command need not run. Without any, what it prints is its result.
    """

    text: str
    writes: tuple[str, ...] = ()

    def record_file(self, root: Path) -> Path:
        """The note of a run: the command, what it printed, when and where it ran and how long."""
        return root / RECORDS / f'{re.sub(r"[^A-Za-z0-9]+", "_", self.text).strip("_")}.json'

    def printed(self, root: Path) -> list[str]:
        """Read the lines that the command printed when the tool ran it."""
        return read_json(self.record_file(root))['output'].splitlines()


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as it stands in a page.

    Args:
        rows: Makes header and rows, cells as in the page, from the results in a root folder.
        tolerance: By how much a figure may differ from the page's, in its own unit. Beyond it is a failure.
        times: Patterns of headers of columns whose figures depend on the machine (times, memory): shown as a ratio,
            never a failure.
        labels: How many columns say what a row is.
        history: Labels of rows that no command can make again, such as those of models that are gone; they stay.
    """

    rows: Callable[[Path], list[list[str]]]
    tolerance: float = 0.0
    times: tuple[str, ...] = ()
    labels: int = 1
    history: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Commands and the tables that they make.

    Args:
        name: as in ``<!-- measured: NAME.TABLE -->`` before a table of a page.
        minutes: about how long the commands take on two cores.
        commands: In their order. Each page with one of the tables names all of them.
        tables: by name.
        needs: Commands of the same pages that make what the others read, such as scenes.
    """

    name: str
    minutes: float
    commands: tuple[Command, ...]
    tables: Mapping[str, Table]
    needs: tuple[Command, ...] = ()


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding='utf-8'))
