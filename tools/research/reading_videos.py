"""Frames of a video as video tokens, or as single images? The demo on shapes in motion, read in both ways.

    python tools/make_shapes.py --video --train 4000 --workers 2
    python tools/research/reading_videos.py

For each of --seeds: the demo LMM is fine-tuned on conversations about shapes in motion, a mask head is trained over it
for each way of reading, and both are tested, beside a control that holds the masks of the first frame. Heads over the
LMM as it ships are trained and tested, too. All of it lies in the work dir; what is there already is not made again.
Tables become tables.md. docs/video.md says what is compared.
"""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='SEED')
    parser.add_argument('--data', type=Path, default=Path('data/shapes_video'), help='of tools/make_shapes.py --video')
    parser.add_argument('--steps', type=int, default=1500, help='of fine-tuning, 8 conversations each')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/reading_videos'), help='from the root of the repository'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    # Not above: --help answers at once.
    from reading_videos.measure import measure
    from reading_videos.report import write_report
    from reading_videos.training import DEMO_LMM, finetune, train_head

    files: dict[int, list[Path]] = {}
    for seed in args.seeds:
        folder = args.work_dir / f'seed_{seed}'
        tuned = folder / 'lmm'
        if not (tuned / 'model.safetensors').exists():
            finetune(args.data, tuned, steps=args.steps, seed=seed)
        for name, lmm in (('', tuned), ('untuned_', DEMO_LMM)):
            for read_as in ('video', 'images'):
                head, scores = folder / f'{name}{read_as}', folder / f'{name}{read_as}.json'
                if not scores.exists():
                    checkpoint = train_head(lmm, head, read_as=read_as, seed=seed)
                    measure(
                        lmm,
                        checkpoint,
                        scores,
                        condition=f'{name}{read_as}',
                        read_as=read_as,
                        held=not name and read_as == 'images',
                    )
                files.setdefault(seed, []).append(scores)
                print(f'{scores} is there', flush=True)
    print(write_report(files, args.work_dir), end='')


if __name__ == '__main__':
    main()
