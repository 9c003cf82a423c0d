"""Metrics, or any rows of cells, as a text table."""

from collections.abc import Mapping, Sequence

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
    return align_rows(table)


def align_rows(rows: Sequence[Sequence[str]], *, num_left: int = 1) -> str:
    """Align the columns of rows of equal length: the first ``num_left`` left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    row_format = '  '.join(f'{{:{"<" if i < num_left else ">"}{width}}}' for i, width in enumerate(widths))
    return '\n'.join(row_format.format(*row) for row in rows)
