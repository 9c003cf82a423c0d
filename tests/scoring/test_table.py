import numpy as np
import pytest
import torch

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


def test_columns_of_wide_characters_stay_aligned():
    rows = [['狗', '1'], ['e\u0301', '10'], ['cat', '100']]
    assert align_rows(rows).splitlines() == ['狗     1', 'e\u0301     10', 'cat  100']
    assert align_rows([['1', '狗'], ['2', 'cat']]).splitlines() == ['1   狗', '2  cat']


def test_no_rows_and_no_cells():
    assert align_rows([]) == ''
    assert align_rows([[], []]) == '\n'
    assert align_rows([['', '']]) == ''


def test_other_metrics_are_listed_below():
    table = format_table(
        {
            'val/refined/mIoU': np.float32(50),
            'own/speed': 12.5,
            'count': np.int64(3),
            'val/refined/gIoU': 0.5,
            'val/coarse/cIoU/kind': 1.0,
            'mIoU': torch.tensor(0.25),
            'classes': {'a': np.float64(1.0), 'b': [torch.tensor(2)]},
            'name': 'two\nlines',
            'other/refined/cIoU': 'not a figure',
            'third/refined/cIoU': float('inf'),
            'flag/refined/mIoU': True,
            'many': np.zeros(1000),
            7: None,
        }
    )
    assert table.splitlines() == [
        'test set  coarse cIoU  coarse mIoU  refined cIoU  refined mIoU',
        'val                 -            -             -          50.0',
        '',
        'own/speed             12.5',
        'count                 3',
        'val/refined/gIoU      0.5',
        'val/coarse/cIoU/kind  1.0',
        'mIoU                  0.25',
        "classes               {'a': 1.0, 'b': [2]}",
        'name                  two lines',
        'other/refined/cIoU    not a figure',
        'third/refined/cIoU    inf',
        'flag/refined/mIoU     True',
        'many                  [' + '0.0, ' * 19 + '0.0,…',
        '7                     None',
    ]


def test_other_metrics_alone():
    assert format_table({'acc': 0.5, 'loss/val': 2}) == 'acc       0.5\nloss/val  2'


def test_slashes_in_names_of_datasets_and_kinds_and_a_prefix():
    keys = ['coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU']
    metrics = {f'{name}/{key}': float(i) for name in ('ema/coco/val', 'coco/val') for i, key in enumerate(keys)}
    metrics |= {'coco/val/refined/mIoU/left/right': 7.0, 'coco/val/coarse/mIoU/left/right': 8.0}
    assert [line.split() for line in format_table(metrics).splitlines()[1:]] == [
        ['ema/coco/val', '0.0', '1.0', '2.0', '3.0'],
        ['coco/val', '0.0', '1.0', '2.0', '3.0'],
        ['left/right', '-', '8.0', '-', '7.0'],
    ]


@pytest.mark.parametrize('kind', ['x/refined/mIoU', 'refined/mIoU', 'coarse/cIoU/y', 'refined', 'mIoU'])
def test_a_kind_that_looks_like_a_column(kind):
    lines = format_table({'val/refined/mIoU': 1.0, f'val/refined/mIoU/{kind}': 2.0}).splitlines()
    assert [line.split() for line in lines[1:]] == [['val', '-', '-', '-', '1.0'], [kind, '-', '-', '-', '2.0']]


@pytest.mark.parametrize('name', ['refined', 'coarse/mIoU', 'a/refined/mIoU/b', '../a', 'a\nb'])
def test_a_dataset_that_looks_like_a_column(name):
    lines = format_table({f'{name}/refined/mIoU': 1.0, f'{name}/refined/mIoU/kind': 2.0}).splitlines()
    label = name.replace('\n', '\\n')
    assert [line.split() for line in lines[1:]] == [[label, '-', '-', '-', '1.0'], ['kind', '-', '-', '-', '2.0']]


def test_null_of_metrics_json_is_undefined():
    assert format_table({'val/coarse/cIoU': None}).splitlines()[1].split() == ['val', 'nan', '-', '-', '-']


def test_lone_surrogates_can_be_printed():
    printed = format_table({'\ud83d/refined/mIoU/\ud83d': 1.0, '\udc80': '\udc80'}).encode('utf-8')
    assert b'\\ud83d' in printed
    assert b'\\udc80' in printed
