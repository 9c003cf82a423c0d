"""Models that are measured by themselves: fewer heads, published LMMs at full size, the demo's weights."""

import json
from pathlib import Path
from statistics import median

from research.full_size import COLUMNS, row
from research.measurements.demo import KINDS
from research.measurements.measurement import Command, Measurement, Table, read_json

HEADS = {
    'demo': '24, all',
    **{f'demo_heads_{top}': f'{top} best' for top in (16, 8, 4, 2)},
    'demo_heads_1': 'best one',
}
"""Name of a config -> label of its row."""
LMMS = (
    'deepseek_vl_1_3b', 'qwen2_5_vl_3b', 'qwen3_vl_4b', 'qwen3_5_4b', 'llava_1_5_7b', 'llava_1_6_mistral_7b',
    'deepseek_vl_7b',
)  # fmt: skip
POINTING = {'trained': 'trained', 'untrained': 'untrained', 'an even draw': 'chance'}
SAM = {
    'true box': 'true box',
    'jittered box': 'jittered box',
    'coarse': 'coarse',
    'refined: coarse mask': 'coarse mask',
    'refined: coarse mask and its box': 'coarse mask and its box',
}


def heads(root: Path) -> list[list[str]]:
    """Quality and time with fewer heads: the last validation and the median time of an iteration in the logs."""
    rows = [['heads', 'coarse mIoU', 'refined mIoU', 's an iteration']]
    for name, label in HEADS.items():
        (*_, latest) = sorted((root / 'work_dirs/heads' / name).glob('*/vis_data/scalars.json'))
        lines = [json.loads(line) for line in latest.read_text(encoding='utf-8').splitlines()]
        validated = [line for line in lines if 'shapes_val_first_sentence/refined/mIoU' in line][-1]
        quality = [f'{validated[f"shapes_val_first_sentence/{mask}/mIoU"]:.1f}' for mask in ('coarse', 'refined')]
        rows.append([label, *quality, f'{median(line["time"] for line in lines if "loss" in line):.2f}'])
    return rows


def full_size(root: Path) -> list[list[str]]:
    """Published LMMs at full size."""
    return [list(COLUMNS), *(row(read_json(root / f'work_dirs/full_size/{lmm}.json')) for lmm in LMMS)]


def pointing(root: Path) -> list[list[str]]:
    """How well raw attention points, by kind of expression."""
    found = read_json(root / 'work_dirs/demo_weights/pointing.json')
    kinds = ('all', *KINDS)
    return [
        ['model', *kinds],
        *([label, *(f'{found[key][kind]:.1f}' for kind in kinds)] for label, key in POINTING.items()),
    ]


def sam(root: Path) -> list[list[str]]:
    """What the demo's SAM makes of boxes and of imitated coarse masks."""
    found = read_json(root / 'work_dirs/demo_weights/sam.json')
    levels = ('medium', 'hard')
    return [['scenes', *SAM], *([level, *(f'{found[level][key]:.1f}' for key in SAM.values())] for level in levels)]


MEASUREMENTS = (
    Measurement(
        name='heads',
        minutes=20,
        needs=(
            Command(
                text='python tools/research/sweep_alpha.py --only dense --scenes clean --val-images 200',
                writes=('data/shapes_clean/images/*',),
            ),
        ),
        commands=(
            Command(
                text='python tools/select_heads.py configs/shapes/demo.py --num-images 300 --top 1 2 4 8 16',
                writes=('work_dirs/demo/heads.json',),
            ),
            Command(
                text='for config in configs/shapes/demo.py',
                writes=tuple(f'work_dirs/heads/{name}/last_checkpoint' for name in HEADS),
            ),
        ),
        tables={'quality': Table(rows=heads, tolerance=1.5, times=('s an iteration',))},
    ),
    Measurement(
        name='full_size',
        minutes=21,
        commands=(
            Command(
                text='python tools/research/full_size.py deepseek_vl_1_3b qwen2_5_vl_3b',
                writes=tuple(f'work_dirs/full_size/{lmm}.json' for lmm in LMMS),
            ),
        ),
        tables={'models': Table(rows=full_size, times=('* s', '*, s', '* GB'))},
    ),
    Measurement(
        name='demo_weights',
        minutes=5,
        commands=(
            Command(
                text='python tools/research/eval_pointing.py assets/demo_lmm --scenes 150',
                writes=('work_dirs/demo_weights/pointing.json',),
            ),
            Command(
                text='python tools/research/eval_sam.py assets/demo_sam --scenes 200',
                writes=('work_dirs/demo_weights/sam.json',),
            ),
        ),
        tables={
            'pointing': Table(rows=pointing, tolerance=1.0, history=('before the long pruned stage', 'before both')),
            'sam': Table(rows=sam, tolerance=1.0),
        },
    ),
)
