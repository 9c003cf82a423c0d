"""Rows of cells as text."""


def format_rows(rows: list[list[str]]) -> str:
    """Align rows of equal length, the first column left, the others right; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    row_format = '  '.join(f'{{:{">" if i else "<"}{width}}}' for i, width in enumerate(widths))
    return '\n'.join(row_format.format(*row) for row in rows)
