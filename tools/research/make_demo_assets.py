"""Grow the demo weights: a small Qwen2.5-VL and a small SAM, trained on synthetic shapes.

    python tools/research/make_demo_assets.py lmm --output assets/demo_lmm --work-dir work_dirs/demo_lmm
    python tools/research/make_demo_assets.py sam --output assets/demo_sam

Every scene, batch and initial weight follows from --seed. assets/README.md tells how long it takes and what comes out.
"""

import argparse
from pathlib import Path

from demo_assets.stages import STAGES

from flmm.shapes import DIFFICULTY, VOCABULARY

HELD_OUT_SEED = 1_000_003


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['lmm', 'sam'])
    parser.add_argument('--output', type=Path, required=True, help='folder of the weights')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo_lmm'), help='checkpoints of the stages')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads, besides those that render scenes')
    parser.add_argument('--workers', type=int, default=2, help='processes that render scenes')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--from-stage', choices=[stage.name for stage in STAGES], default=STAGES[0].name)
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint of --from-stage')
    parser.add_argument('--sam-steps', type=int, default=1400)
    parser.add_argument(
        '--shorten', type=int, default=1, help='divide the steps of every stage, to try the command out'
    )
    return parser.parse_args()


def make_lmm(args: argparse.Namespace) -> None:
    # Not above, here and below: --help answers at once.
    import torch
    from demo_assets.lmm import new_lmm, run_stage, save_lmm
    from demo_assets.probes import ProbedModel
    from demo_assets.tokenizer import build_processor

    torch.set_num_threads(args.threads)
    processor = build_processor(VOCABULARY)
    lmm = new_lmm(processor, seed=args.seed)
    probes = ProbedModel(lmm)
    names = [stage.name for stage in STAGES]
    first = names.index(args.from_stage)
    if first:
        probes.load_state_dict(torch.load(args.work_dir / f'{names[first - 1]}.pt', weights_only=True))
    for stage in STAGES[first:]:
        resume = args.resume and stage.name == args.from_stage
        options = {'work_dir': args.work_dir, 'seed': args.seed, 'workers': args.workers, 'resume': resume}
        run_stage(stage.shortened(args.shorten), probes, processor, **options)
        torch.save(probes.state_dict(), args.work_dir / f'{stage.name}.pt')
    save_lmm(lmm, processor, args.output)


def make_sam(args: argparse.Namespace) -> None:
    import torch
    from demo_assets.sam import ARCHITECTURE, evaluate_sam, save_sam, train_sam

    from flmm.models.sam import build_small_sam

    torch.set_num_threads(args.threads)
    save_sam(
        train_sam(steps=args.sam_steps // args.shorten, seed=args.seed, workers=max(1, args.workers // 2)), args.output
    )
    sam = build_small_sam(**ARCHITECTURE, checkpoint=args.output / 'model.safetensors')
    for difficulty, config in DIFFICULTY.items():
        scores = evaluate_sam(sam, config=config, seed=HELD_OUT_SEED, num_scenes=300)
        print(difficulty, ' | '.join(f'{name} {value:.1f}' for name, value in scores.items()))


def main() -> None:
    args = parse_args()
    {'lmm': make_lmm, 'sam': make_sam}[args.what](args)


if __name__ == '__main__':
    main()
