"""Score how well the raw attention of a demo model points at what phrases mean, against an untrained model.

python tools/research/eval_pointing.py assets/demo_lmm --scenes 300

Writes <work dir>/pointing.json and prints a table, in percent.
"""

import argparse
from pathlib import Path

from flmm.atomic_write import write_json
from flmm.shapes import DIFFICULTY, EXPRESSION_KINDS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder of the model')
    parser.add_argument('--scenes', type=int, default=300)
    parser.add_argument('--difficulty', choices=sorted(DIFFICULTY), default='medium')
    parser.add_argument('--seed', type=int, default=1_000_003, help='of the scenes')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo_weights'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Not above: --help answers at once.
    import torch
    from demo_assets.model import use_fast_layers
    from demo_assets.pointing import phrase_maps, pointing_accuracy

    from flmm.pretrained import lmm_from_config, load_lmm, load_processor

    processor = load_processor(args.model)
    trained = load_lmm(args.model, dtype=torch.float32, attn_implementation='eager').eval()
    torch.manual_seed(0)
    untrained = lmm_from_config(trained.config, dtype=torch.float32, attn_implementation='eager').eval()

    kinds = ('all', *EXPRESSION_KINDS)
    print('| model | channel | ' + ' | '.join(kinds) + ' |')
    print('| --- ' * (len(kinds) + 2) + '|')
    found = {}
    for name, model in (('trained', trained), ('untrained', untrained)):
        use_fast_layers(model)
        scenes = {'config': DIFFICULTY[args.difficulty], 'seed': args.seed, 'num_scenes': args.scenes}
        channel, accuracy, chance = pointing_accuracy(list(phrase_maps(model, processor, **scenes)))
        found |= {name: accuracy, 'chance': chance}
        print(f'| {name} | {channel} | ' + ' | '.join(f'{accuracy[kind]:.1f}' for kind in kinds) + ' |')
    print('| chance | - | ' + ' | '.join(f'{chance[kind]:.1f}' for kind in kinds) + ' |')
    args.work_dir.mkdir(parents=True, exist_ok=True)
    write_json(args.work_dir / 'pointing.json', found, indent=2)


if __name__ == '__main__':
    main()
