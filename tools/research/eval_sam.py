"""Score what the demo's SAM makes of boxes and of imitated coarse masks, on scenes that it was not trained on.

python tools/research/eval_sam.py assets/demo_sam --scenes 200

Writes <work dir>/sam.json and prints a table: mean IoU in percent, by kind of scenes and of prompt.
"""

import argparse
import json
from pathlib import Path

from flmm.atomic_write import write_json
from flmm.shapes import DIFFICULTY


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', type=Path, help='folder of the model')
    parser.add_argument('--scenes', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1_000_003, help='of the scenes')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo_weights'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Not above: --help answers at once.
    from demo_assets.sam import evaluate_sam

    from flmm.models.sam import build_small_sam

    architecture = json.loads((args.model / 'config.json').read_text(encoding='utf-8'))
    sam = build_small_sam(**architecture, checkpoint=args.model / 'model.safetensors').eval()
    scores = {
        difficulty: evaluate_sam(sam, config=config, seed=args.seed, num_scenes=args.scenes)
        for difficulty, config in DIFFICULTY.items()
    }
    args.work_dir.mkdir(parents=True, exist_ok=True)
    write_json(args.work_dir / 'sam.json', scores, indent=2)
    for difficulty, values in scores.items():
        print(difficulty, ' | '.join(f'{name} {value:.1f}' for name, value in values.items()))


if __name__ == '__main__':
    main()
