"""Run F-LMM on published LMMs at full size, once each: random weights in bfloat16, SAM ViT-L, on a CPU.

    python tools/research/full_size.py qwen2_5_vl_3b llava_1_5_7b
    python tools/research/full_size.py deepseek_vl_7b --layers 2

A model is a file of configs/_base_/lmms, its sizes are those of flmm/models/published_lmms.py. Each is built, trained
for a step and asked for a prediction on one synthetic image with three phrases, and for one with pruned image tokens
where its image processor prunes. What must hold is checked: every trained tensor gets a finite gradient or is known to
get none, and attention maps sum to what they should.

A 7B takes about 18 GB and some minutes. Each model has a process of its own, so that its peak memory is its own. Writes
<work dir>/<model>.json and prints a table.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from flmm.atomic_write import write_json

LMMS = Path(__file__).parents[2] / 'configs' / '_base_' / 'lmms'
MODELS = sorted(path.stem for path in LMMS.glob('*.py') if path.stem != 'demo')
COLUMNS = {
    'model': '{model}', 'LMM, 1e9': '{lmm_parameters_1e9:.2f}', 'image tokens': '{image_tokens}',
    'channels': '{channels}', 'build s': '{build_s:.0f}', 'step s': '{step_s:.0f}',
    'prediction s': '{prediction_s:.0f}', 'pruned: tokens, s': '{pruned}', 'peak GB': '{peak_gb:.1f}',
    'estimated GB': '{estimated_gb:.1f}',
}  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='+', choices=MODELS, metavar='MODEL', help=f'of {", ".join(MODELS)}')
    parser.add_argument(
        '--layers', type=int, help='at most so many layers of text and of each vision tower, to try the command'
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/full_size'))
    args = parser.parse_args()
    if args.layers is not None and args.layers < 1:
        parser.error('--layers must be at least 1')
    return args


def measure(model: str, layers: int | None) -> dict:
    """Run one model in this process; imports nothing heavy before it is called."""
    from full_sizes.measure import measure

    return measure(model, layers=layers)


def row(result: dict) -> list[str]:
    """Lay out the result of a model for the table."""
    pruned = '{image_tokens}, {prediction_s:.0f}'.format_map(result['pruned']) if result['pruned'] else ''
    return [column.format_map(result | {'pruned': pruned}) for column in COLUMNS.values()]


def main() -> None:
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    rows = [list(COLUMNS)]
    for model in args.models:
        # A new interpreter, started from one that has loaded nothing: Linux counts the parent's memory at the start.
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context('spawn')) as pool:
            result = pool.submit(measure, model, args.layers).result()
        write_json(args.work_dir / f'{model}.json', result, indent=2)
        rows.append(row(result))
        print(f'{model}: done, all checks hold', flush=True)
    print('\n'.join(f'| {" | ".join(row)} |' for row in [rows[0], ['---'] * len(COLUMNS), *rows[1:]]))


if __name__ == '__main__':
    main()
