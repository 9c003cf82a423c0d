import itertools

import numpy as np
import pytest
import torch

from flmm.plain_text import display_width
from flmm.scoring import align_rows, format_table

PAPER = {
    f'{dataset}_{split}_{protocol}/{source}/{metric}': float(place)
    for place, (protocol, (dataset, split), source, metric) in enumerate(
        itertools.product(
            ('first_sentence', 'every_sentence'),
            [
                *itertools.product(('refcoco', 'refcoco_plus'), ('val', 'testA', 'testB')),
                *itertools.product(['refcocog'], ('val', 'test')),
                ('grefcoco', 'val'),
            ],
            ('refined', 'coarse'),
            ('mIoU', 'cIoU'),
        )
    )
}


def test_layout_of_papers():
    assert format_table(PAPER).splitlines() == [
        'first sentence  RefCOCO            RefCOCO+            RefCOCOg    gRefCOCO',
        '                val  testA  testB   val  testA  testB   val  test       val',
        'refined mIoU    0.0    4.0    8.0  12.0   16.0   20.0  24.0  28.0      32.0',
        'refined cIoU    1.0    5.0    9.0  13.0   17.0   21.0  25.0  29.0      33.0',
        'coarse mIoU     2.0    6.0   10.0  14.0   18.0   22.0  26.0  30.0      34.0',
        'coarse cIoU     3.0    7.0   11.0  15.0   19.0   23.0  27.0  31.0      35.0',
        '',
        'every sentence  RefCOCO             RefCOCO+            RefCOCOg    gRefCOCO',
        '                 val  testA  testB   val  testA  testB   val  test       val',
        'refined mIoU    36.0   40.0   44.0  48.0   52.0   56.0  60.0  64.0      68.0',
        'refined cIoU    37.0   41.0   45.0  49.0   53.0   57.0  61.0  65.0      69.0',
        'coarse mIoU     38.0   42.0   46.0  50.0   54.0   58.0  62.0  66.0      70.0',
        'coarse cIoU     39.0   43.0   47.0  51.0   55.0   59.0  63.0  67.0      71.0',
    ]


def test_intervals_what_does_not_apply_and_kinds():
    metrics = {
        'a_val_first_sentence/refined/mIoU': 91.58,
        'a_val_first_sentence/refined/mIoU_low': 90.0,
        'a_val_first_sentence/refined/mIoU_high': 92.4,
        'a_val_first_sentence/refined/mIoU/color': 8.0,
        'a_val_first_sentence/refined/mIoU_low/color': 7.0,
        'a_val_first_sentence/refined/mIoU_high/color': 9.0,
        'a_val_first_sentence/refined/Pr@0.5': 99.96,
        'a_test_first_sentence/refined/gIoU': 12.345,
        'a_test_first_sentence/refined/cIoU': float('nan'),
        'a_test_first_sentence/refined/N_acc/color': 7.0,
        'a_test_first_sentence/coarse/T_acc': 1.0,
        'png_val/refined/mIoU': 50.0,
        'png_val/refined/AR_things': 60.0,
    }
    assert format_table(metrics, metrics=None).splitlines() == [
        'first sentence        a',
        '                            val  test',
        'refined mIoU          91.6 ±1.2     -',
        'refined gIoU                  -  12.3',
        'refined cIoU                  -   nan',
        'refined Pr@0.5            100.0     -',
        'coarse T_acc                  -   1.0',
        'refined mIoU: color    8.0 ±1.0     -',
        'refined N_acc: color          -   7.0',
        '',
        '                   png_val',
        'refined mIoU          50.0',
        'refined AR_things     60.0',
    ]


def test_what_papers_do_not_print_is_left_out_and_named():
    thresholds = {f'val/coarse/Pr@{threshold}': 100 * threshold for threshold in (0.5, 0.6, 0.7, 0.8, 0.9)}
    metrics = {
        **thresholds, 'val/coarse/Pr@0.6_low': 1.0, 'val/coarse/Pr@0.6_high': 2.0, 'val/refined/AR_plurals': 20.0,
        'val/refined/mIoU/color': 8.0, 'val/refined/N_acc/color': 9.0, 'only_kinds/refined/mIoU/color': 7.0,
        'speed': 12.5,
    }  # fmt: skip
    assert format_table(metrics).splitlines() == [
        '                     val',
        'refined AR_plurals  20.0',
        'coarse Pr@0.5       50.0',
        'coarse Pr@0.7       70.0',
        'coarse Pr@0.9       90.0',
        '',
        'speed  12.5',
        '',
        'Not shown, but in the JSON file of all metrics: N_acc of kinds, Pr@0.6, Pr@0.8, mIoU of kinds',
    ]
    chosen = format_table(thresholds, {'val/refined/mIoU': 1.0}, names=['a', 'b'], metrics=['mIoU']).splitlines()
    assert [line.split() for line in chosen[:2]] == [['val'], ['refined', 'mIoU', 'b', '1.0']]
    assert chosen[3] == 'Not shown, but in the JSON file of all metrics: Pr@0.5, Pr@0.6, Pr@0.7, Pr@0.8, Pr@0.9'
    assert 'Not shown' not in format_table(metrics, metrics=None)


def test_several_runs():
    one = {'a_val_first_sentence/refined/mIoU': 1.0, 'a_val_first_sentence/refined/cIoU': 2.0, 'speed': 7}
    two = {'a_val_first_sentence/refined/mIoU': 3.0, 'a_test_first_sentence/refined/mIoU': 4.0, 'speed': 'high'}
    assert format_table(one, two, names=['trained', 'best head']).splitlines() == [
        'first sentence             a',
        '                           val  test',
        'refined mIoU    trained    1.0     -',
        '                best head  3.0   4.0',
        'refined cIoU    trained    2.0     -',
        '',
        'speed  trained    7',
        'speed  best head  high',
    ]
    for names in ((), ('same', 'same')):
        with pytest.raises(ValueError, match=r'names of runs are \[.*\] for 2 runs; give each a name of its own'):
            format_table(one, two, names=names)


def test_one_run_may_have_a_name():
    lines = format_table({'val/refined/mIoU': 1.0}, names=['trained']).splitlines()
    assert lines == ['                       val', 'refined mIoU  trained  1.0']


def with_intervals(metrics):
    return metrics | {
        f'{key}{end}': value + by for key, value in metrics.items() for end, by in (('_low', -1), ('_high', 1.4))
    }


def test_nine_test_sets_with_intervals_fit_and_more_are_continued_below():
    figures = with_intervals({key: value + 20 for key, value in PAPER.items()})
    tables = format_table(figures).split('\n\n')
    assert [len(table.splitlines()) for table in tables] == [6, 6]
    assert max(map(display_width, '\n'.join(tables).splitlines())) <= 120

    runs = [figures] * 2
    tables = format_table(*runs, names=['the mean of ten heads', 'trained']).split('\n\n')
    assert len(tables) == 4
    assert max(map(display_width, '\n'.join(tables).splitlines())) <= 120
    first, rest = (table.splitlines() for table in tables[:2])
    assert first[0].split() == ['first', 'sentence', 'RefCOCO', 'RefCOCO+', 'RefCOCOg']
    assert first[1].split() + rest[1].split() == [*['val', 'testA', 'testB'] * 2, 'val', 'test', 'val']
    assert rest[0].split() == ['first', 'sentence', *(['RefCOCOg'] if rest[1].split()[0] == 'test' else []), 'gRefCOCO']


def test_columns_keep_the_order_of_the_metrics_within_a_dataset():
    keys = ['b_val', 'a_val', 'b_testA', 'z', 'y']
    metrics = {f'{key}_first_sentence/refined/mIoU': 1.0 for key in keys}
    lines = format_table(metrics).splitlines()
    assert lines[0].split() == ['first', 'sentence', 'b', 'a']
    assert lines[1].split() == ['val', 'testA', 'val']
    assert lines[4].split() == ['z_first_sentence', 'y_first_sentence']


def test_undefined_values_are_shown():
    for value in (float('nan'), None):  # None in metrics.json
        assert format_table({'val/coarse/cIoU': value}).splitlines()[1].split() == ['coarse', 'cIoU', 'nan']


def test_no_metrics():
    assert format_table({}) == ''


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
            'val/refined/oIoU': 0.5,
            'val/coarse/cIoU/kind': 1.0,
            'mIoU': torch.tensor(0.25),
            'classes': {'a': np.float64(1.0), 'b': [torch.tensor(2)]},
            'name': 'two\nlines',
            'other/refined/cIoU': 'not a figure',
            'third/refined/cIoU': float('inf'),
            'flag/refined/mIoU': True,
            'many': np.zeros(1000),
            7: None,
            'run': {'config': 'of metrics.json'},
        }
    )
    assert table.splitlines() == [
        '               val',
        'refined mIoU  50.0',
        '',
        'own/speed             12.5',
        'count                 3',
        'val/refined/oIoU      0.5',
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
    assert format_table({'acc': 0.5, 'loss/val': 2, 'run': 3}) == 'acc       0.5\nloss/val  2\nrun       3'


def test_slashes_in_names_of_datasets_and_kinds_and_a_prefix():
    keys = ['refined/mIoU', 'refined/cIoU', 'coarse/mIoU']
    metrics = {f'{name}/{key}': float(i) for name in ('ema/coco/val', 'coco/val') for i, key in enumerate(keys)}
    metrics |= {'coco/val/refined/mIoU/left/right': 7.0, 'coco/val/coarse/mIoU/left/right': 8.0}
    assert [line.split() for line in format_table(metrics, metrics=None).splitlines()] == [
        ['ema/coco/val', 'coco/val'],
        ['refined', 'mIoU', '0.0', '0.0'],
        ['refined', 'cIoU', '1.0', '1.0'],
        ['coarse', 'mIoU', '2.0', '2.0'],
        ['refined', 'mIoU:', 'left/right', '-', '7.0'],
        ['coarse', 'mIoU:', 'left/right', '-', '8.0'],
    ]


@pytest.mark.parametrize(
    'kind', ['x/refined/mIoU', 'refined/mIoU', 'coarse/cIoU/y', 'refined', 'mIoU', 'x/refined/mIoU_low', 'a_low']
)
def test_a_kind_that_looks_like_a_metric(kind):
    lines = format_table({'val/refined/mIoU': 1.0, f'val/refined/mIoU/{kind}': 2.0}, metrics=None).splitlines()
    assert [line.split() for line in lines] == [
        ['val'], ['refined', 'mIoU', '1.0'], ['refined', 'mIoU:', kind, '2.0'],
    ]  # fmt: skip


@pytest.mark.parametrize('name', ['refined', 'coarse/mIoU', 'a/refined/mIoU/b', '../a', 'a\nb'])
def test_a_dataset_that_looks_like_a_metric(name):
    metrics = {f'{name}/refined/mIoU': 1.0, f'{name}/refined/mIoU/kind': 2.0}
    lines = format_table(metrics, metrics=None).splitlines()
    assert [line.split() for line in lines] == [
        [name.replace('\n', '\\n')], ['refined', 'mIoU', '1.0'], ['refined', 'mIoU:', 'kind', '2.0'],
    ]  # fmt: skip


def test_wide_characters_stay_aligned():
    lines = format_table({'狗狗_val_first_sentence/refined/mIoU': 1.0, '狗狗_t_first_sentence/refined/mIoU': 2.0})
    assert lines.splitlines() == [
        'first sentence  狗狗',
        '                val    t',
        'refined mIoU    1.0  2.0',
    ]


def test_lone_surrogates_can_be_printed():
    metrics = {'\ud83d/refined/mIoU/\ud83d': 1.0, '\udc80': '\udc80'}
    printed = format_table(metrics, metrics=None).encode('utf-8')
    assert b'\\ud83d' in printed
    assert b'\\udc80' in printed
