"""Frames of a video as video tokens, or as single images? The demo on shapes in motion, read in both ways.

    python tools/make_shapes.py --video --train 4000 --workers 2
    python tools/research/reading_videos.py

The demo LMM's vision tower learns to see motion by a linear probe; then tools/finetune_lmm.py tunes the LMM, first on
conversations about single moments, then on all that there are about shapes in motion. For each of --seeds, a mask head
is trained over it for each way of reading, and both are tested, beside a control that holds the masks of the first
frame. Heads over the LMM as it ships are trained and tested, too. All of it lies in the work dir; what is there already
is not made again. Tables become tables.md. docs/video.md says what is compared.
"""

import argparse
import os
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEIGHTS = 'model.safetensors'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='SEED', help='of mask heads')
    parser.add_argument('--data', type=Path, default=Path('data/shapes_video'), help='of tools/make_shapes.py --video')
    parser.add_argument(
        '--steps',
        nargs=3,
        type=int,
        default=[350, 700, 2400],
        metavar=('PROBE', 'MOMENTS', 'ALL'),
        help='of the probe (8 videos each), and of fine-tuning on moments (16 conversations each) and on all (8)',
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/reading_videos'), help='from the root of the repository'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    # Not above: --help answers at once.
    from reading_videos.answers import ask
    from reading_videos.measure import measure
    from reading_videos.motion_probe import teach_motion
    from reading_videos.report import write_report
    from reading_videos.training import CONFIGS, DEMO_LMM, finetune, train_head, write_moments

    from flmm.shapes.build_video import CHAT_FILE

    work = args.work_dir
    sees_motion, knows_moments, tuned = (work / name for name in ('sees_motion', 'knows_moments', 'lmm'))
    moments = work / 'moments.jsonl'
    write_moments(args.data, moments)
    if not (sees_motion / WEIGHTS).exists():
        teach_motion(DEMO_LMM, sees_motion, steps=args.steps[0], seed=0)
    if not (knows_moments / WEIGHTS).exists():
        settings = {'image_root': args.data, 'steps': args.steps[1], 'batch_size': 16, 'lr': 1.5e-3}
        finetune(sees_motion, knows_moments, data=moments, **settings)
    if not (tuned / WEIGHTS).exists():
        settings = {'image_root': args.data, 'steps': args.steps[2], 'batch_size': 8, 'lr': 1e-3}
        finetune(knows_moments, tuned, data=args.data / CHAT_FILE, **settings)
    answers = {name: work / f'answers_{name}.json' for name in ('tuned', 'untuned')}
    for file, lmm in zip(answers.values(), (tuned, DEMO_LMM), strict=True):
        if not file.exists():
            ask(lmm, args.data, file)
    files: dict[int, list[Path]] = {}
    for seed, (name, lmm), read_as in product(args.seeds, (('', tuned), ('untuned_', DEMO_LMM)), CONFIGS):
        condition = f'{name}{read_as}'
        head = work / f'seed_{seed}' / condition
        scores = head.with_suffix('.json')
        if not scores.exists():
            checkpoint = train_head(lmm, head, read_as=read_as, seed=seed)
            measure(lmm, checkpoint, scores, condition=condition, read_as=read_as, held=condition == 'images')
        files.setdefault(seed, []).append(scores)
        print(f'{scores} is there', flush=True)
    print(write_report(files, answers, work), end='')


if __name__ == '__main__':
    main()
