"""What reinforcement makes of the demo LMM: asked for the shapes of a scene, it should name each once, and where it is.

    python tools/research/reinforce_demo.py

For each of --seeds: the demo LMM is trained for --steps in each way, with supervision or by GRPO, and each model
answers the same held-out scenes. Of the first seed, mask heads are trained over three of the LMMs. All of it lies in
the work dir; what is there already is not made again. Tables become tables.md. docs/finetuning.md says what is
compared.
"""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='SEED')
    parser.add_argument('--scenes', type=int, default=1500, help='to train on')
    parser.add_argument('--held-out', type=int, default=150, help='scenes to measure on')
    parser.add_argument('--steps', type=int, default=40, help='of each way, 32 conversations or completions each')
    parser.add_argument('--mask-images', type=int, default=640, help='that mask heads are trained on')
    parser.add_argument('--shorten', type=int, default=1, metavar='N', help='divide scenes and steps by this')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/reinforce_demo'), help='from the root of the repository'
    )
    args = parser.parse_args()
    if min(args.scenes, args.held_out, args.steps, args.mask_images) < args.shorten or args.shorten < 1:
        parser.error('--scenes, --held-out, --steps and --mask-images must be at least --shorten, and that at least 1')
    return args


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    # Not above: --help answers at once.
    import torch
    from reinforcement.conditions import Demo
    from reinforcement.heads import measure_heads
    from reinforcement.report import write_report

    torch.set_num_threads(args.threads)
    demo = Demo(
        args.work_dir,
        num_scenes=args.scenes // args.shorten,
        num_held_out=args.held_out // args.shorten,
        steps=args.steps // args.shorten,
    )
    for seed in args.seeds:
        demo.run(seed)
    measure_heads(demo, args.seeds[0], num_images=args.mask_images // args.shorten)
    print(write_report(args.work_dir, args.seeds), end='')


if __name__ == '__main__':
    main()
