"""Write the synthetic shapes dataset in the layouts of RefCOCO, gRefCOCO and PNG.

python tools/make_shapes.py --out data/shapes --train 1500 --val 100 --test 100 --difficulty medium --workers 4
"""

import argparse

from flmm.shapes import DIFFICULTY, build_dataset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='data/shapes', help='folder to write into (default: %(default)s)')
    parser.add_argument('--train', type=int, default=1500, help='training images (default: %(default)s)')
    parser.add_argument('--val', type=int, default=100, help='validation images (default: %(default)s)')
    parser.add_argument('--test', type=int, default=100, help='images of testA and of testB (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--difficulty', default='medium', help=f'one of {", ".join(DIFFICULTY)} (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=1, help='processes that draw (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace shapes of other parameters in --out')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    summary = build_dataset(
        args.out,
        num_images={'train': args.train, 'val': args.val, 'testA': args.test, 'testB': args.test},
        difficulty=args.difficulty,
        seed=args.seed,
        workers=args.workers,
        overwrite=args.overwrite,
    )
    if summary is None:
        print(f'{args.out}: these shapes are there already, nothing to do.')
        return
    references = ', '.join(f'{count} in {split}' for split, count in summary['references'].items())
    segments = ', '.join(f'{count} in {split}' for split, count in summary['noun_segments'].items())
    print(f'{args.out}: RefCOCO references: {references}; PNG noun segments: {segments}.')


if __name__ == '__main__':
    main()
