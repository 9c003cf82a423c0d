"""Turn a file that F-LMM's authors published into a checkpoint of this package.

    python tools/convert_checkpoint.py CONFIG PUBLISHED.pth OUT.pth --report report.json

CONFIG is the config of the same model; neither the LMM nor SAM is loaded, so this takes seconds on any machine. Prints
what becomes of every key. Writes OUT only if the file has all that the model trains, in its sizes and finite, and
nothing unknown. OUT is what tools/test.py and flmm.Grounder take. Nothing of the file is executed.
"""

import argparse
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch

from flmm.atomic_write import open_atomic, write_json
from flmm.config import read_config
from flmm.convert import KeyRow, TrainedPart, build_without_weights, converted_weights, match_keys, read_published
from flmm.convert.keys import STATUSES
from flmm.evaluation import align_rows
from flmm.plain_text import printable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config whose model is to load the weights')
    parser.add_argument('published', type=Path, help='the published .pth file')
    parser.add_argument('out', type=Path, help='where the converted checkpoint goes')
    parser.add_argument('--report', type=Path, help='write what becomes of every key to this .json file')
    return parser.parse_args()


def format_rows(rows: list[KeyRow]) -> str:
    """Lay the keys out as a table, a line each, and count them below it."""
    cells = [
        [row.status, printable(row.key or f'({row.target})'), str(row.shape), printable(row.reason)] for row in rows
    ]
    counts = Counter(row.status for row in rows)
    table = align_rows([['status', 'key', 'shape', ''], *cells], num_left=4)
    return f'{table}\n\n{", ".join(f"{counts[status]} {status}" for status in STATUSES)}'


def check_places(args: argparse.Namespace) -> None:
    """Refuse to write over what is read, or over what is written.

    Raises:
        ValueError: two of the files are one, or a folder is in the place of one to write.
    """
    for path, what in ((args.out, 'converted one'), (args.report, 'report')):
        if path is None:
            continue
        if path.is_dir():
            raise ValueError(f'{str(path)!r} is a folder; give the name of a file for the {what}')
        for other, name in ((args.published, 'the published file'), (args.config, 'the config')):
            if path.exists() and os.path.exists(other) and os.path.samefile(path, other):
                raise ValueError(f'{str(path)!r} is {name} itself; give another name for the {what}')
    if args.report is not None and args.report.resolve() == args.out.resolve():
        raise ValueError(f'--report is {str(args.report)!r}, where the converted file goes; give another name for it')


def main() -> None:
    args = parse_args()
    check_places(args)
    weights = read_published(args.published)
    part = TrainedPart.of(build_without_weights(read_config(args.config)))
    rows = match_keys(weights, part)
    print(format_rows(rows))
    if args.report is not None:
        document = {'config': args.config, 'published': str(args.published), 'keys': [asdict(row) for row in rows]}
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.report, document)
    converted = converted_weights(weights, rows, part)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(args.out) as file:
        torch.save({'state_dict': converted, 'meta': {'converted_from': args.published.name}}, file)
    print(
        f'wrote {args.out}. It does not say over which LMM and SAM it was trained, so that is not compared on loading'
    )


if __name__ == '__main__':
    main()
