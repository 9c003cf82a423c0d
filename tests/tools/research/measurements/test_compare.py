"""Cells in all the forms that pages have, compared number by number."""

import pytest
from research.measurements.compare import compare, numbers, value
from research.measurements.measurement import Table


@pytest.mark.parametrize(
    ('cell', 'found'),
    [
        ('91.6', [91.6]),
        ('91.6 ±1.2', [91.6, 1.2]),
        ('1,116 (983)', [1116, 983]),
        ('0.975x', [0.975]),
        ('1.14x (1.26x) the time, 6.6x the memory', [1.14, 1.26, 6.6]),
        ('127, 33', [127, 33]),
        ('91.1, 91.0, 91.0', [91.1, 91, 91]),
        ('1,234,567.5', [1234567.5]),
        ('88.7 to 89.5', [88.7, 89.5]),
        ('100 %: 90.4 (72.6)', [100, 90.4, 72.6]),
        ('-0.3 and 2e-6', [-0.3, 2e-6]),
        ('23x17 = 391', [23, 391]),
        ('Qwen2-VL, float32, conv_3', []),
        ('', []),
    ],
)
def test_numbers_of_a_cell(cell, found):
    assert [value(number) for number in numbers(cell)] == found


def compared(old, new, **settings):
    table = Table(rows=lambda root: [], **settings)
    header = ['way', 'mIoU']
    (cell,) = compare([header, ['a', old]], [header, ['a', new]], table=table)
    return cell.differences, cell.failed


@pytest.mark.parametrize(
    ('old', 'new', 'differences', 'failed'),
    [
        ('91.6', '91.6', '+0.0', False),
        ('91.6', '92.6', '+1.0', False),  # the tolerance itself is still within
        ('91.6', '92.7', '+1.1', True),
        ('91.6', '90.55', '-1.05', True),
        ('91.6 ±1.2', '91.9 ±0.1', '+0.3, -1.1', True),
        ('1,116 (983)', '1,117 (982)', '+1, -1', False),
        ('88.7 to 89.5', '88.8 to 89.4', '+0.1, -0.1', False),
        ('91.6', 'nan', 'another text', True),
        ('91.6', '', 'another text', True),
        ('', '91.6', 'another text', True),
        ('0.9x', '0.9', 'another text', True),
    ],
)
def test_quality(old, new, differences, failed):
    assert compared(old, new, tolerance=1.0) == (differences, failed)


@pytest.mark.parametrize(
    ('old', 'new', 'differences', 'failed'),
    [
        ('1,116 (983)', '558 (1,966)', 'x0.50, x2.00', False),
        ('0.975x', '9.75x', 'x10.00', False),
        ('0', '3', 'from 0', False),
        ('12', '', 'another text', True),
    ],
)
def test_times_are_ratios_and_never_fail(old, new, differences, failed):
    assert compared(old, new, times=('mI*',)) == (differences, failed)


def test_blank_labels_stand_for_those_above_and_equal_labels_are_not_listed():
    header, last = ['image', 'way', 'tokens', 'ms'], ['', 'none', '', '']
    old = [header, ['9x9', 'dense', '81', '10'], ['', 'budget 0.5', '40', '5'], last]
    new = [header, ['9x9', 'dense', '81', '20'], ['', 'budget 0.3', '40', '5'], last]
    found = compare(old, new, table=Table(rows=lambda root: [], labels=2, times=('ms',), tolerance=5.0))
    assert [(cell.row, cell.column, cell.differences, cell.failed) for cell in found] == [
        ('9x9, dense', 'tokens', '+0', False),
        ('9x9, dense', 'ms', 'x2.00', False),
        ('9x9, budget 0.5', 'way', '-0.2', True),  # another row, however near
        ('9x9, budget 0.5', 'tokens', '+0', False),
        ('9x9, budget 0.5', 'ms', 'x1.00', False),
    ]


@pytest.mark.parametrize(
    ('new', 'message'),
    [
        ([['set', 'mIoU'], ['val', '1']], 'the page has 2 rows, the measurement 1, .* only the page has '),
        (
            [['set', 'mIoU'], ['val', '1'], ['testB', '2']],
            r"page has \['testA \| 2'\], .* has \['testB \| 2'\]",
        ),
        ([['set', 'cIoU'], ['val', '1'], ['testA', '2']], r"the page has \['set \| mIoU'\], .* has \['set \| cIoU'\]"),
        ([['set', 'mIoU', 'n'], ['val', '1', '3'], ['testA', '2', '3']], 'do not stand for the same'),
    ],
)
def test_tables_that_do_not_fit(new, message):
    old = [['set', 'mIoU'], ['val', '1'], ['testA', '2']]
    with pytest.raises(ValueError, match=message):
        compare(old, new, table=Table(rows=lambda root: []))
