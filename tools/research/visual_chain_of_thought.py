"""Does a closer look help? The demo LMM, taught to answer questions, asked about small shapes in many ways.

    python tools/research/visual_chain_of_thought.py

For each of --finetunings: the demo LMM is fine-tuned on questions, the demo's mask head is trained over it, and both
are asked one question about each scene in every way, for each of --scene-seeds. All of it lies in the work dir; what is
there already is not made again. Tables become tables.md. docs/visual_chain_of_thought.md says what is compared.
"""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--finetunings', nargs='+', type=int, default=[0], metavar='SEED')
    parser.add_argument('--scene-seeds', nargs='+', type=int, default=[0, 1, 2], metavar='SEED')
    parser.add_argument('--scenes', type=int, default=300, help='of each seed')
    parser.add_argument('--steps', type=int, default=600, help='of fine-tuning, 16 conversations each')
    parser.add_argument('--mask-images', type=int, default=640, help='that the mask head is trained on')
    parser.add_argument('--shorten', type=int, default=1, metavar='N', help='divide scenes, steps and images by this')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/visual_chain_of_thought'),
        help='from the root of the repository',
    )
    args = parser.parse_args()
    if min(args.scenes, args.steps, args.mask_images) < args.shorten or args.shorten < 1:
        parser.error('--scenes, --steps and --mask-images must be at least --shorten, and that at least 1')
    return args


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    # Not above: --help answers at once.
    import torch
    from closer_look.finetuning import finetune
    from closer_look.masks import train_masks
    from closer_look.measure import measure, measure_skills
    from closer_look.report import write_report

    from flmm import Grounder

    torch.set_num_threads(args.threads)
    scenes, steps, images = (number // args.shorten for number in (args.scenes, args.steps, args.mask_images))
    results = []
    for seed in args.finetunings:
        folder = args.work_dir / f'finetuning_{seed}'
        if not (folder / 'lmm' / 'model.safetensors').exists():
            finetune(folder / 'lmm', steps=steps, seed=seed)
        if not (folder / 'masks' / 'epoch_1.pth').exists():
            train_masks(folder / 'lmm', folder / 'masks', num_images=images, seed=seed)
        grounder = Grounder.from_config(folder / 'masks' / 'grounder.py', checkpoint=folder / 'masks' / 'epoch_1.pth')
        measure_skills(grounder, folder / 'skills.json', num_scenes=scenes)
        for scene_seed in args.scene_seeds:
            results.append(folder / f'answers_{scene_seed}.json')
            measure(grounder, results[-1], num_scenes=scenes, seed=scene_seed)
            print(f'{results[-1]} is there', flush=True)
    print(write_report(results, args.work_dir), end='')


if __name__ == '__main__':
    main()
