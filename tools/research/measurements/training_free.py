"""A few heads of the demo's LMM without training, against the trained demo; and the six pictures of one's own."""

from pathlib import Path

from research.measurements.demo import MAKE_DEMO, SHAPES, demo_metrics, figures
from research.measurements.measurement import Command, Measurement, Table, read_json

WAYS = {'localization': 'localization', 'iou': 'IoU'}
"""Option of tools/select_heads.py -> what the page calls it."""
TOPS = (1, 3, 10)
VARIANTS = {'3': 'as above', 'box': 'box of the whole mask', 'threshold': 'threshold at four times the mean'}
SIX_PICTURES = 'work_dirs/demo_six_pictures'


def metrics_file(way: str, name: str) -> str:
    """Where the loops of the page write what heads gave, from the root of the repository."""
    return f'work_dirs/training_free_{way}/{name}/metrics.json'


def heads(root: Path) -> list[list[str]]:
    """All test sets, by number of heads and ranking, and the trained demo."""
    rows = [['percent', 'heads chosen by', 'coarse cIoU', 'coarse mIoU', 'refined cIoU', 'refined mIoU']]
    for label, test_set in SHAPES.items():
        for way, name in WAYS.items():
            for top in TOPS:
                metrics = read_json(root / metrics_file(way, str(top)))
                noun = 'head' if top == 1 else 'heads'
                rows.append([f'{label}: {top} {noun}', name, *figures(metrics, test_set)])
        rows.append([f'{label}: **trained**', 'all 24', *figures(demo_metrics(root), test_set)])
    return rows


def variants(root: Path) -> list[list[str]]:
    """What box and threshold are worth with three heads."""
    columns = ('refined/cIoU', 'refined/mIoU')

    def cell(metrics: dict[str, float]) -> str:
        return ' / '.join(figures(metrics, 'shapes_val_first_sentence', columns))

    rows = [['refined cIoU / mIoU', *WAYS.values()]]
    rows += [
        [label, *(cell(read_json(root / metrics_file(way, name))) for way in WAYS)] for name, label in VARIANTS.items()
    ]
    return [*rows, ['trained', cell(demo_metrics(root)), '']]


def six_pictures(root: Path) -> list[list[str]]:
    """Six pictures of one's own, trained and tested on."""
    header = ['percent', 'coarse cIoU', 'coarse mIoU', 'refined cIoU', 'refined mIoU']
    metrics = read_json(root / SIX_PICTURES / 'metrics.json')
    return [header, ['the six pictures that were trained on, 21 phrases', *figures(metrics, 'six_pictures')]]


MEASUREMENTS = (
    Measurement(
        name='training_free',
        minutes=10,
        needs=(MAKE_DEMO,),
        commands=(
            Command(
                text='for way in localization iou; do',
                writes=tuple(metrics_file(way, name) for way in WAYS for name in (*map(str, TOPS), *VARIANTS)),
            ),
        ),
        tables={'heads': Table(rows=heads, tolerance=1.5, labels=2), 'variants': Table(rows=variants, tolerance=1.5)},
    ),
    Measurement(
        name='six_pictures',
        minutes=2,
        commands=(
            Command(text='docs/examples/make_six_pictures.py data/six_pictures', writes=('data/six_pictures/*.json',)),
            Command(text='tools/convert_data.py labelme data/six_pictures', writes=('data/six_pictures/data.jsonl',)),
            Command(
                text='tools/train.py configs/custom/demo_six_pictures.py', writes=(f'{SIX_PICTURES}/epoch_80.pth',)
            ),
            Command(text='tools/test.py configs/custom/demo_six_pictures.py', writes=(f'{SIX_PICTURES}/metrics.json',)),
        ),
        tables={'tested': Table(rows=six_pictures, tolerance=2.0)},
    ),
)
