"""Frames of a video as video tokens, or as single images? The demo on shapes in motion, read in both ways.

    python tools/make_shapes.py --video --train 4000 --workers 2
    python tools/research/reading_videos.py

The demo LMM's vision tower learns to see motion by a linear probe; then the LMM is fine-tuned on conversations about
shapes in motion by tools/finetune_lmm.py. For each of --seeds, a mask head is trained over it for each way of reading,
and both are tested, beside a control that holds the masks of the first frame. Heads over the LMM as it ships are
trained and tested, too. All of it lies in the work dir; what is there already is not made again. Tables become
tables.md. docs/video.md says what is compared.
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
    parser.add_argument('--probe-steps', type=int, default=350, help='of the motion probe, 8 videos each')
    parser.add_argument('--steps', type=int, default=3000, help='of fine-tuning, 8 conversations each')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/reading_videos'), help='from the root of the repository'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    # Not above: --help answers at once.
    from reading_videos.measure import measure
    from reading_videos.motion_probe import teach_motion
    from reading_videos.report import write_report
    from reading_videos.training import CONFIGS, DEMO_LMM, finetune, train_head

    sees_motion, tuned = args.work_dir / 'sees_motion', args.work_dir / 'lmm'
    if not (sees_motion / WEIGHTS).exists():
        teach_motion(DEMO_LMM, sees_motion, steps=args.probe_steps, seed=0)
    if not (tuned / WEIGHTS).exists():
        finetune(sees_motion, args.data, tuned, steps=args.steps)
    files: dict[int, list[Path]] = {}
    for seed, (name, lmm), read_as in product(args.seeds, (('', tuned), ('untuned_', DEMO_LMM)), CONFIGS):
        condition = f'{name}{read_as}'
        head = args.work_dir / f'seed_{seed}' / condition
        scores = head.with_suffix('.json')
        if not scores.exists():
            checkpoint = train_head(lmm, head, read_as=read_as, seed=seed)
            measure(lmm, checkpoint, scores, condition=condition, read_as=read_as, held=condition == 'images')
        files.setdefault(seed, []).append(scores)
        print(f'{scores} is there', flush=True)
    print(write_report(files, args.work_dir), end='')


if __name__ == '__main__':
    main()
