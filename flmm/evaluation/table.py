"""Metrics as a text table."""

from collections.abc import Mapping


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out what GroundingMetric returns: one row for each test set and source, then one column for each kind.

    Args:
        metrics: ``<dataset_name>/<coarse|refined>/<metric>[/<kind>]`` -> percent.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for key, value in metrics.items():
        name, source, *column = key.split('/')
        rows.setdefault((name, source), {})[' '.join(column)] = value
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = [['test set', 'mask', *columns]]
    for (name, source), row in rows.items():
        table.append([name, source, *(f'{row[column]:.1f}' if column in row else '-' for column in columns)])
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    # names to the left, numbers to the right
    aligns = ['<', '<', *'>' * len(columns)]
    row_format = '  '.join(f'{{:{align}{width}}}' for align, width in zip(aligns, widths, strict=True))
    return '\n'.join(row_format.format(*row).rstrip() for row in table)
