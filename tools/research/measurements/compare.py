"""A table of a page beside the same table made anew, number by number."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from research.measurements.measurement import Table

NUMBER = re.compile(r'(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+)?')


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """One cell, old and new.

    Args:
        row: What the row is.
        column: The header of its column.
        old: As in the page.
        new: As made anew.
        differences: New minus old of each number, or for times new over old, in their order, as text.
        failed: Whether a figure is beyond the tolerance.
    """

    row: str
    column: str
    old: str
    new: str
    differences: str
    failed: bool


def numbers(cell: str) -> list[str]:
    """Find the numbers of a cell; digits that belong to a word, as in 'Qwen2' or '16x16', are none."""
    return NUMBER.findall(cell)


def value(number: str) -> float:
    """Read a number as the pages write it: '1,218', '-0.3', '2e-6'."""
    return float(number.replace(',', ''))


def compare(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]], *, table: Table) -> list[ComparedCell]:
    """Compare the cells of two tables: those that hold a number, and whatever differs.

    Args:
        old: The page's, without the rows of ``table.history``.
        new: Made anew.
        table: Says which columns are labels, which are times, and the tolerance.

    Raises:
        ValueError: the two do not have the same rows and columns, but for numbers.
    """
    if [len(row) for row in old] != [len(row) for row in new] or _labels(old, table) != _labels(new, table):
        raise ValueError(_mismatch(old, new, table))
    header = old[0]
    found = []
    label = ''
    for number, (old_row, new_row) in enumerate(zip(old, new, strict=True)):
        # A blank label stands for the one above it.
        first = old_row[0] or label.partition(', ')[0]
        label = 'header' if number == 0 else ', '.join([first, *old_row[1 : table.labels]])
        for column, (old_cell, new_cell) in enumerate(zip(old_row, new_row, strict=True)):
            is_label = number == 0 or column < table.labels
            is_time = not is_label and any(fnmatch(header[column], pattern) for pattern in table.times)
            if old_cell == new_cell and (is_label or not numbers(old_cell)):
                continue
            differences, failed = _differences(
                old_cell, new_cell, tolerance=0 if is_label else table.tolerance, as_ratio=is_time
            )
            found.append(
                ComparedCell(
                    row=label,
                    column=header[column],
                    old=old_cell,
                    new=new_cell,
                    differences=differences,
                    failed=failed,
                )
            )
    return found


def _labels(rows: Sequence[Sequence[str]], table: Table) -> list[list[str]]:
    """What must be the same for cells to stand for the same thing: headers and labels, but for their numbers."""
    header, *others = rows
    return [list(map(_words, cells)) for cells in (header, *(row[: table.labels] for row in others))]


def _words(cell: str) -> str:
    return NUMBER.sub('#', ' '.join(cell.split()))


def _mismatch(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]], table: Table) -> str:
    def only(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[str]:
        known = _labels(second, table)
        return [' | '.join(row) for row, words in zip(first, _labels(first, table), strict=True) if words not in known]

    return (
        f'the page has {len(old) - 1} rows, the measurement {len(new) - 1}, and they do not stand for the same: '
        f'only the page has {only(old, new)}, only the measurement has {only(new, old)}; bring them into line'
    )


def _differences(old: str, new: str, *, tolerance: float, as_ratio: bool) -> tuple[str, bool]:
    pairs = list(zip(numbers(old), numbers(new), strict=False))
    if _words(old) != _words(new):
        return 'another text', True
    if as_ratio:
        return ', '.join(f'x{value(b) / value(a):.2f}' if value(a) else 'from 0' for a, b in pairs), False
    decimals = [max(len(number.partition('.')[2]) for number in pair) for pair in pairs]
    changes = [value(b) - value(a) for a, b in pairs]
    texts = [f'{change:+,.{digits}f}' for change, digits in zip(changes, decimals, strict=True)]
    return ', '.join(texts), any(abs(change) > tolerance + 1e-9 for change in changes)
