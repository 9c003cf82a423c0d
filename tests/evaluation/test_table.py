from flmm.evaluation import format_table


def test_layout():
    table = format_table(
        {
            'val/coarse/cIoU': 12.345,
            'val/coarse/mIoU': 7.0,
            'val/refined/cIoU': 100.0,
            'val/refined/mIoU': 99.96,
            'testA_every_sentence/coarse/cIoU': 0.0,
            'testA_every_sentence/coarse/mIoU': 1.0,
            'testA_every_sentence/coarse/mIoU/color': 50.25,
        }
    )
    assert table.splitlines() == [
        'test set              mask      cIoU   mIoU  mIoU color',
        'val                   coarse    12.3    7.0           -',
        'val                   refined  100.0  100.0           -',
        'testA_every_sentence  coarse     0.0    1.0        50.2',
    ]


def test_rows_and_columns_keep_the_order_of_the_metrics():
    lines = format_table({'b/coarse/mIoU': 1.0, 'a/coarse/mIoU': 2.0, 'a/coarse/cIoU': 3.0}).splitlines()
    assert [line.split() for line in lines] == [
        ['test', 'set', 'mask', 'mIoU', 'cIoU'],
        ['b', 'coarse', '1.0', '-'],
        ['a', 'coarse', '2.0', '3.0'],
    ]


def test_undefined_values_are_shown():
    assert format_table({'val/coarse/cIoU': float('nan')}).splitlines()[1].split() == ['val', 'coarse', 'nan']


def test_no_metrics():
    assert format_table({}) == 'test set  mask'
