"""Write the synthetic shapes dataset in the layouts of RefCOCO, gRefCOCO and PNG.

python tools/make_shapes.py --out data/shapes --train 1500 --val 100 --test 100 --difficulty medium --workers 4

With --video, shapes in motion in the layout of Ref-YouTube-VOS, and chat.jsonl for tools/finetune_lmm.py:

python tools/make_shapes.py --video --out data/shapes_video --train 4000 --val 100 --test 100 --workers 4
"""

import argparse

from flmm.shapes import DIFFICULTY, build_dataset, build_video_dataset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', help='folder to write into; defaults to data/shapes, with --video data/shapes_video')
    parser.add_argument('--train', type=int, default=1500, help='training images, or videos (default: %(default)s)')
    parser.add_argument('--val', type=int, default=100, help='validation images, or videos (default: %(default)s)')
    parser.add_argument(
        '--test', type=int, default=100, help='images of testA and of testB, or test videos (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--difficulty', default='medium', help=f'one of {", ".join(DIFFICULTY)} (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=1, help='processes that draw (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace shapes of other parameters in --out')
    video = parser.add_argument_group('videos')
    video.add_argument('--video', action='store_true', help='draw shapes in motion instead of pictures')
    video.add_argument('--frames', type=int, default=8, help='of a video, 6 or more (default: %(default)s)')
    video.add_argument('--fps', type=float, default=2.0, help='frames in a second (default: %(default)s)')
    video.add_argument(
        '--sides',
        type=int,
        nargs=2,
        default=(140, 196),
        metavar=('LOW', 'HIGH'),
        help='height and width are multiples of 28 px from LOW to HIGH (default: 140 196)',
    )
    args = parser.parse_args()
    args.out = args.out or ('data/shapes_video' if args.video else 'data/shapes')
    return args


def main() -> None:
    args = parse_args()
    settings = {
        'difficulty': args.difficulty, 'seed': args.seed, 'workers': args.workers, 'overwrite': args.overwrite
    }  # fmt: skip
    if args.video:
        summary = build_video_dataset(
            args.out,
            num_videos={'train': args.train, 'val': args.val, 'test': args.test},
            num_frames=args.frames,
            fps=args.fps,
            side_range=tuple(args.sides),
            **settings,
        )
    else:
        num_images = {'train': args.train, 'val': args.val, 'testA': args.test, 'testB': args.test}
        summary = build_dataset(args.out, num_images=num_images, **settings)
    if summary is None:
        print(f'{args.out}: these shapes are there already, nothing to do.')
    elif args.video:
        for split, counts in summary.items():
            kinds = ', '.join(f'{count} of {kind}' for kind, count in sorted(counts.items()))
            print(f'{args.out}: {sum(counts.values())} expressions in {split}: {kinds}.')
    else:
        references = ', '.join(f'{count} in {split}' for split, count in summary['references'].items())
        segments = ', '.join(f'{count} in {split}' for split, count in summary['noun_segments'].items())
        print(f'{args.out}: RefCOCO references: {references}; PNG noun segments: {segments}.')


if __name__ == '__main__':
    main()
