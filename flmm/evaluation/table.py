"""Metrics as a text table."""

from collections.abc import Mapping

COLUMNS = ('coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU')


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out what GroundingMetric returns: a line for each test set, below it one for each kind of expression.

    Args:
        metrics: ``<dataset_name>/<coarse|refined>/<cIoU|mIoU>[/<kind>]`` -> percent.
    """
    lines: dict[str, dict[str | None, dict[str, float]]] = {}  # test set -> kind or None -> column -> percent
    for key, value in metrics.items():
        name, source, metric, *kind = key.split('/')
        of_name = lines.setdefault(name, {None: {}})  # the whole test set stands above its kinds
        of_name.setdefault(kind[0] if kind else None, {})[f'{source}/{metric}'] = value
    table = [['test set', *(column.replace('/', ' ') for column in COLUMNS)]]
    for name, of_name in lines.items():
        for kind, row in of_name.items():
            cells = (f'{row[column]:.1f}' if column in row else '-' for column in COLUMNS)
            table.append([name if kind is None else f'  {kind}', *cells])
    widths = [max(len(row[0]) for row in table), *map(len, COLUMNS)]
    row_format = '  '.join(f'{{:{align}{width}}}' for align, width in zip('<>>>>', widths, strict=True))
    return '\n'.join(row_format.format(*row) for row in table)
