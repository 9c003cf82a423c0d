"""Draw losses, rates and metrics of one or several trainings.

python tools/plot_log.py work_dirs/demo
python tools/plot_log.py work_dirs/a work_dirs/b --keys 'loss*' lr '*/mIoU' --smooth 10 --out both.png

Each work dir is one line, resumed trainings included: where two folders of a work dir reach the same iterations, the
later one counts.
"""

import argparse
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from flmm.run_series import Series, read_series

KEYS = ('*loss*', 'lr', '*/mIoU', '*/gIoU', '*/cIoU')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', help='work dirs of tools/train.py')
    parser.add_argument('--out', help='picture, PNG (default: log.png in the first work dir)')
    parser.add_argument(
        '--keys', nargs='+', default=KEYS, help=f'what to draw; * stands for anything (default: {" ".join(KEYS)})'
    )
    parser.add_argument('--smooth', type=int, default=1, help='mean over so many logged values (default: 1)')
    parser.add_argument('--list', action='store_true', help='print all keys that were logged, and draw nothing')
    return parser.parse_args()


def chosen_keys(runs: Iterable[Series], patterns: Sequence[str]) -> list[str]:
    """Return the keys that the patterns stand for, in their order.

    Raises:
        ValueError: none does; of patterns that were given by hand, each must.
    """
    known = sorted({key for series in runs for key in series})
    found = {pattern: [key for key in known if fnmatchcase(key, pattern)] for pattern in patterns}
    lost = [pattern for pattern, keys in found.items() if not keys]
    if len(lost) == len(found) or (lost and tuple(patterns) != KEYS):
        raise ValueError(f'nothing was logged under {", ".join(map(repr, lost))}; there are: {", ".join(known)}')
    return list(dict.fromkeys(key for keys in found.values() for key in keys))


def main() -> None:
    args = parse_args()
    if args.smooth < 1:
        raise ValueError(f'--smooth is {args.smooth}, expected 1 or more')
    runs = {str(Path(work_dir)): read_series(work_dir) for work_dir in args.work_dirs}
    if args.list:
        print('\n'.join(sorted({key for series in runs.values() for key in series})))
        return
    keys = chosen_keys(runs.values(), args.keys)
    from flmm.visualization import draw_curves, save_figure  # not before what is wrong is known

    out = Path(args.out or Path(args.work_dirs[0]) / 'log.png')
    save_figure(draw_curves(runs, keys=keys, smooth=args.smooth), out)
    print(f'{out}: {", ".join(keys)}')


if __name__ == '__main__':
    main()
