"""Make the numbers of README and docs anew, by the commands that stand there, and print old beside new.

    python tools/reproduce.py --list
    python tools/reproduce.py demo floor
    python tools/reproduce.py demo --again --write

Without names: all of them, which takes hours. A table of a page is measured where <!-- measured: NAME.TABLE --> stands
before it. Commands whose results lie in work_dirs already are not run again, unless --again deletes these. Percent and
counts that differ by more than the measurement allows are marked with '!', and the exit code is 1; times and memory are
shown as ratios, new to old, and never marked.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from research.measurements import MEASUREMENTS
from research.measurements.compare import ComparedCell, compare
from research.measurements.markdown import Code, PageTable, named_code, pages, tables, write_table
from research.measurements.measurement import Command, Measurement, Table
from research.measurements.running import CommandError, forget, is_done, measured_on, run

ROOT = Path(__file__).parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(MEASUREMENTS)}')
    parser.add_argument('--list', action='store_true', help='print the measurements and their commands, run nothing')
    parser.add_argument('--again', action='store_true', help='delete the results that are there, and run all commands')
    parser.add_argument(
        '--write', action='store_true', help='put the new cells into the pages, and when and on what they were measured'
    )
    args = parser.parse_args()
    unknown = sorted(set(args.names) - MEASUREMENTS.keys())
    if unknown:
        parser.error(f'unknown {unknown}, expected of {list(MEASUREMENTS)}')
    return args


def page_tables(root: Path, measurement: Measurement) -> dict[str, list[PageTable]]:
    """Find the tables of a measurement in all pages, by their name."""
    found: dict[str, list[PageTable]] = {name: [] for name in measurement.tables}
    for table in (table for page in pages(root) for table in tables(page)):
        name, _, part = (table.measured or '').partition('.')
        if name == measurement.name:
            if part not in found:
                raise ValueError(f'{table.page}:{table.line} {name!r} makes no table {part!r}, only {list(found)}')
            found[part].append(table)
    return found


def commands(root: Path, measurement: Measurement) -> list[tuple[Command, Code]]:
    """Read the commands of a measurement, what it needs first, from the pages that have its tables.

    Raises:
        ValueError: no page has a table of it, a page does not name a command, or two name different ones.
    """
    named_in = sorted({table.page for found in page_tables(root, measurement).values() for table in found})
    if not named_in:
        raise ValueError(f'no page has a table <!-- measured: {measurement.name}.TABLE -->')
    found = []
    for command in (*measurement.needs, *measurement.commands):
        codes = {named_code(page, command.text) for page in named_in}
        if len(codes) > 1:
            raise ValueError(f'pages differ in the command {command.text!r}: {[code.text for code in codes]}')
        found.append((command, codes.pop()))
    return found


def reproduce(
    root: Path, measurements: Mapping[str, Measurement], *, again: bool = False, write: bool = False
) -> list[str]:
    """Run what has no results yet, print the tables of the pages beside the new ones, and write them if wanted.

    Returns:
        What failed, a line each: commands, tables that do not fit, figures beyond their tolerance.
    """
    failures = []
    ran: set[Command] = set()
    for name, measurement in measurements.items():
        try:
            for command, code in commands(root, measurement):
                if again and command in measurement.commands and command not in ran:
                    forget(command, root=root)
                if not is_done(command, code, root=root):
                    print(f'$ {code.text}', flush=True)
                    run(command, code, root=root)
                ran.add(command)
        except CommandError as error:
            failures.append(f'{name}: {error}')
            continue
        for part, places in page_tables(root, measurement).items():
            for number in range(len(places)):
                # Read anew: writing a table may have moved those behind it.
                place = page_tables(root, measurement)[part][number]
                failures += compare_table(root, measurement, measurement.tables[part], place, write=write)
    return failures


def compare_table(root: Path, measurement: Measurement, table: Table, place: PageTable, *, write: bool) -> list[str]:
    """Print a table of a page beside the new one, and write it if wanted; return what failed."""
    title = f'{place.page.relative_to(root)}:{place.line} {place.measured}'
    kept = [row for row in place.rows if row[0] not in table.history]
    try:
        rows = table.rows(root)
        compared = compare(kept, rows, table=table)
        if write:
            anew = iter(rows)
            whole = [row if row[0] in table.history else next(anew) for row in place.rows]
            write_table(place, whole, measured_on=measured_on(measurement.commands, root=root))
    except (OSError, LookupError, ValueError) as error:
        return [f'{title}: {type(error).__name__}: {error}']
    print(f'\n{title}\n{listing(compared)}', flush=True)
    beyond = sum(cell.failed for cell in compared)
    return [f'{title}: {beyond} of {len(compared)} cells differ by more than {table.tolerance:g}'] if beyond else []


def listing(compared: list[ComparedCell]) -> str:
    """Lay out compared cells, one a line."""
    # Not above: --help answers at once.
    from flmm.evaluation import align_rows

    rows = [['row', 'column', 'old', 'new', 'difference', '']]
    rows += [[c.row, c.column, c.old, c.new, c.differences, '!' if c.failed else ''] for c in compared]
    return align_rows(rows, num_left=2)


def print_list(root: Path, measurements: Mapping[str, Measurement]) -> None:
    """Print each measurement: its tables' places, and its commands as the pages have them."""
    for name, measurement in measurements.items():
        places = [place for found in page_tables(root, measurement).values() for place in found]
        print(f'{name}: about {measurement.minutes:g} min')
        for place in places:
            print(f'  {place.page.relative_to(root)}:{place.line} {place.measured}')
        for command, code in commands(root, measurement):
            done = 'results are there' if is_done(command, code, root=root) else 'to be run'
            print('\n'.join(f'    {line}' for line in [f'# {done}', *code.text.splitlines()]))


def main() -> None:
    args = parse_args()
    measurements = {name: MEASUREMENTS[name] for name in args.names or MEASUREMENTS}
    if args.list:
        print_list(ROOT, measurements)
        return
    failures = reproduce(ROOT, measurements, again=args.again, write=args.write)
    if failures:
        print('\n' + '\n'.join(failures))
        raise SystemExit(1)
    print('\nAll figures are within their tolerance.')


if __name__ == '__main__':
    main()
