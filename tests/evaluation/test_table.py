from flmm.evaluation import align_rows, format_table


def test_layout():
    table = format_table(
        {
            'val/coarse/cIoU': 12.345,
            'val/coarse/mIoU': 7.0,
            'val/refined/cIoU': 100.0,
            'val/refined/mIoU': 99.96,
            'testA_every_sentence/coarse/mIoU/colour': 50.26,
            'testA_every_sentence/coarse/cIoU': 0.0,
            'testA_every_sentence/refined/mIoU/colour': 1.0,
        }
    )
    assert table.splitlines() == [
        'test set              coarse cIoU  coarse mIoU  refined cIoU  refined mIoU',
        'val                          12.3          7.0         100.0         100.0',
        'testA_every_sentence          0.0            -             -             -',
        '  colour                        -         50.3             -           1.0',
    ]


def test_rows_keep_the_order_of_the_metrics():
    lines = format_table({'b/coarse/mIoU': 1.0, 'a/coarse/mIoU': 2.0, 'a/coarse/mIoU/z': 3.0, 'a/coarse/mIoU/y': 4.0})
    assert [line.split()[0] for line in lines.splitlines()[1:]] == ['b', 'a', 'z', 'y']


def test_undefined_values_are_shown():
    assert format_table({'val/coarse/cIoU': float('nan')}).splitlines()[1].split() == ['val', 'nan', '-', '-', '-']


def test_no_metrics():
    assert format_table({}) == 'test set  coarse cIoU  coarse mIoU  refined cIoU  refined mIoU'


def test_rows_of_any_cells():
    rows = [['way', 'of', 'ms'], ['a', 'longer one', '7']]
    assert align_rows(rows).splitlines() == ['way          of  ms', 'a    longer one   7']
    assert align_rows(rows, num_left=2).splitlines() == ['way  of          ms', 'a    longer one   7']
