"""Tables and code of a page of markdown, and the marks that say which tables were measured."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r'<!-- (?P<kind>measured|not measured): (?P<text>.+) -->\s*\Z')
RULE = re.compile(r'\s*\|(\s*:?-+:?\s*\|)+\s*\Z')
MEASURED_ON = re.compile(r'Measured on \d{4}-\d\d-\d\d.*\Z')
FENCE = re.compile(r'\s*```(?P<language>\w*)')
INDENTED = re.compile(r' {4}\s*\S')
SPAN = re.compile(r'`([^`]+)`')


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table of a page.

    Args:
        page: The file.
        line: Number of its header in the file, from 1.
        rows: Header and rows as cells.
        measured: ``NAME.TABLE`` of the measurement that makes it; None if no mark says so.
        reason: Why it is not measured; None if no mark says so.
    """

    page: Path
    line: int
    rows: list[list[str]]
    measured: str | None
    reason: str | None


@dataclass(frozen=True)
class Code:
    """A piece of code in a page: its language ('' is a shell's) and its text."""

    language: str
    text: str


def pages(root: Path) -> list[Path]:
    """The pages whose tables must be marked."""
    return [root / 'README.md', *sorted((root / 'docs').glob('*.md')), root / 'assets' / 'README.md']


def tables(page: Path) -> list[PageTable]:
    """Find the tables of a page, in their order."""
    lines = page.read_text(encoding='utf-8').splitlines()
    outside = {number for number, line in enumerate(lines) if line.strip()} - _fenced(lines)
    found = []
    for number in sorted(outside):
        if not RULE.match(lines[number]) or number - 1 not in outside:
            continue
        stop = number + 1
        while stop in outside and lines[stop].lstrip().startswith('|'):
            stop += 1
        mark = MARK.match(lines[number - 2]) if number >= 2 else None
        texts = {mark['kind']: mark['text'].strip()} if mark else {}
        found.append(
            PageTable(
                page=page,
                line=number,  # of the header, counted from 1
                rows=[cells(lines[row]) for row in (number - 1, *range(number + 1, stop))],
                measured=texts.get('measured'),
                reason=texts.get('not measured'),
            )
        )
    return found


def _fenced(lines: list[str]) -> set[int]:
    inside, found = False, set()
    for number, line in enumerate(lines):
        fence = FENCE.match(line) is not None
        if inside or fence:
            found.add(number)
        inside ^= fence
    return found


def cells(line: str) -> list[str]:
    """Split a line of a table."""
    return [cell.strip() for cell in re.split(r'(?<!\\)\|', line.strip().removeprefix('|').removesuffix('|'))]


def named_code(page: Path, text: str) -> Code:
    """Find a command in a page: the one block, line of an indented block, or inline code that holds ``text``.

    Raises:
        ValueError: the page does not have it, or has several.
    """
    wanted = _plain(text)
    holding = [code for code in _code(page.read_text(encoding='utf-8')) if wanted in _plain(code.text)]
    found = {_plain(code.text): code for code in holding}
    if wanted in found:
        return found[wanted]
    if not found:
        raise ValueError(f'{page} does not name the command {text!r}; add it to the page, or mend the measurement')
    if len(found) > 1:
        raise ValueError(f'{text!r} could be each of {list(found)} in {page}; let the measurement say more of it')
    return next(iter(found.values()))


def _plain(text: str) -> str:
    return ' '.join(text.replace('\\\n', ' ').split())


def _code(text: str) -> Iterator[Code]:
    lines = iter(text.splitlines())
    prose = []
    for line in lines:
        fence = FENCE.match(line)
        if fence:
            yield Code(fence['language'], textwrap.dedent('\n'.join(_until_fence(lines))))
        elif INDENTED.match(line):
            while line.endswith('\\'):
                line += '\n' + next(lines)
            yield Code('', line.strip())
        else:
            prose.append(line)
    for paragraph in '\n'.join(prose).split('\n\n'):
        yield from (Code('', _plain(span)) for span in SPAN.findall(paragraph))


def _until_fence(lines: Iterator[str]) -> Iterable[str]:
    for line in lines:
        if FENCE.match(line):
            return
        yield line


def write_table(table: PageTable, rows: list[list[str]], *, measured_on: str) -> None:
    """Put rows in the place of those of ``table``, as many, and behind it when and on what they were measured.

    Lines whose cells stay the same are not touched.
    """
    lines = table.page.read_text(encoding='utf-8').splitlines()
    numbers = [table.line - 1, *range(table.line + 1, table.line + len(rows))]  # without the rule below the header
    for number, old, new in zip(numbers, table.rows, rows, strict=True):
        if old != new:
            lines[number] = f'| {" | ".join(new)} |'
    behind = numbers[-1] + 1
    if MEASURED_ON.match(_line(lines, behind + 1)):
        lines[behind + 1] = measured_on
    else:
        lines[behind:behind] = ['', measured_on]
    table.page.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def measured_on(table: PageTable) -> str | None:
    """Return the line behind a table that says when and where it was measured."""
    lines = table.page.read_text(encoding='utf-8').splitlines()
    line = _line(lines, table.line + len(table.rows) + 1)
    return line if MEASURED_ON.match(line) else None


def _line(lines: list[str], number: int) -> str:
    return lines[number] if number < len(lines) else ''
