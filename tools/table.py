"""Print metrics of several runs in one table: ``python tools/table.py A/metrics.json B/metrics.json``."""

import argparse
import json
from pathlib import Path

from flmm.plain_text import for_terminal
from flmm.scoring import IN_PAPERS, format_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('metrics', nargs='+', type=Path, help='files that tools/test.py wrote')
    parser.add_argument('--all', action='store_true', help='print all metrics, of kinds of expressions too')
    parser.add_argument('--names', nargs='+', help='what the runs are called; by default as their folders')
    args = parser.parse_args()
    if args.names and len(args.names) != len(args.metrics):
        parser.error(f'{len(args.names)} names for {len(args.metrics)} files; give each one')
    folders = [path.absolute().parent.name for path in args.metrics]
    names = args.names or (folders if len(set(folders)) == len(folders) else list(map(str, args.metrics)))
    runs = []
    for path in args.metrics:
        try:
            runs.append(json.loads(path.read_text(encoding='utf-8')))
        except (OSError, ValueError) as error:
            raise ValueError(f'{str(path)!r} cannot be read ({error}); name a metrics.json of tools/test.py') from error
        if not isinstance(runs[-1], dict):
            raise ValueError(f'{str(path)!r} holds no JSON object; name a metrics.json of tools/test.py')
    print(for_terminal(format_table(*runs, names=names, metrics=None if args.all else IN_PAPERS)))


if __name__ == '__main__':
    main()
