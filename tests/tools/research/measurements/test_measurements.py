"""The measurements and the pages: every table is marked, every command named, and what is made fits the pages."""

import re

import pytest
from measured_results import PRINTED, figure, write_json, write_results
from research.f_lmm_variants import VARIANTS
from research.measurements import MEASUREMENTS
from research.measurements.compare import compare, numbers
from research.measurements.markdown import measured_on, named_code, pages, tables
from tiny_refcoco import REPOSITORY

TABLES = [table for page in pages(REPOSITORY) for table in tables(page)]
MEASURED = [table for table in TABLES if table.measured]
IDS = [f'{table.page.stem}-{table.measured}' for table in MEASURED]


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp('results')
    write_results(root)
    for name, output in PRINTED.items():
        (command,) = MEASUREMENTS[name].commands
        write_json(command.record_file(root), {'output': output})
    return root


def made(results, name):
    measurement, _, table = name.partition('.')
    return MEASUREMENTS[measurement].tables[table].rows(results)


def test_every_table_with_numbers_says_whether_it_was_measured():
    unmarked = [
        f'{table.page.relative_to(REPOSITORY)}:{table.line}'
        for table in TABLES
        if not table.measured and not table.reason and any(numbers(cell) for row in table.rows for cell in row)
    ]
    assert not unmarked, 'put <!-- measured: NAME.TABLE --> or <!-- not measured: why --> before them'


def test_the_pages_have_every_table_of_every_measurement():
    known = {f'{name}.{table}' for name, measurement in MEASUREMENTS.items() for table in measurement.tables}
    assert {table.measured for table in MEASURED} == known


@pytest.mark.parametrize('table', MEASURED, ids=IDS)
def test_the_page_of_a_table_names_its_commands_and_the_date(table):
    measurement = MEASUREMENTS[table.measured.partition('.')[0]]
    for command in (*measurement.needs, *measurement.commands):
        assert named_code(table.page, command.text).text
    text = table.page.read_text()
    assert measured_on(table) or re.search(r'Numbers on this page, unless a table says otherwise: \d{4}-', text)


def test_notes_of_commands_have_files_of_their_own():
    commands = {c for measurement in MEASUREMENTS.values() for c in (*measurement.needs, *measurement.commands)}
    assert len({command.record_file(REPOSITORY) for command in commands}) == len(commands)


@pytest.mark.parametrize('table', MEASURED, ids=IDS)
def test_what_is_made_fits_the_page(table, results):
    name, _, part = table.measured.partition('.')
    spec = MEASUREMENTS[name].tables[part]
    old = [row for row in table.rows if row[0] not in spec.history]
    found = compare(old, spec.rows(results), table=spec)
    assert [(cell.row, cell.column) for cell in found if cell.differences == 'another text'] == []


@pytest.mark.parametrize('name', [f'{m.name}.{table}' for m in MEASUREMENTS.values() for table in m.tables])
def test_results_that_are_not_there_are_named(name, tmp_path):
    with pytest.raises((OSError, ValueError)):
        made(tmp_path, name)


def test_demo(results):
    assert made(results, 'demo.summary')[3] == [
        'the demo over an untrained LMM',
        *(f'{figure("untrained_lmm_val_first_sentence", f"{mask}/mIoU"):.1f}' for mask in ('coarse', 'refined')),
    ]
    assert made(results, 'demo.sets')[6] == [
        'testB, every sentence',
        *(
            f'{figure("shapes_testB_every_sentence", column):.1f}'
            for column in ('coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU')
        ),
    ]
    keys = ('shapes_val_every_sentence/refined/mIoU', 'untrained_lmm_val_every_sentence/coarse/mIoU')
    assert made(results, 'demo.kinds')[3][2:4] == [f'{figure(key, "size"):.1f}' for key in keys]
    hard = made(results, 'difficulties.sets')[3]
    assert hard[4] == f'{figure("hard", "shapes_val_first_sentence/refined/mIoU"):.1f}'


def test_existence_and_what_needs_no_training(results):
    key = 'shapes_no_target_testA_every_sentence/refined/N_acc/absent_pair'
    values = [figure(seed, key) for seed in (0, 1, 2)]
    row = made(results, 'existence.sets')[4]
    assert (row[0], row[3]) == (
        'testA, every sentence',
        f'{sum(values) / 3:.1f} ({min(values):.1f} to {max(values):.1f})',
    )
    judged = figure('existence_val_first_sentence', 'refined/cIoU')
    assert made(results, 'demo.present')[1][3] == f'{judged:.1f}'
    assert made(results, 'training_free.heads')[6][:3] == [
        'val, first sentence: 10 heads',
        'IoU',
        f'{figure("iou", "10", "shapes_val_first_sentence", "coarse/cIoU"):.1f}',
    ]
    box = [figure('iou', 'box', 'shapes_val_first_sentence', f'refined/{name}') for name in ('cIoU', 'mIoU')]
    assert made(results, 'training_free.variants')[2][2] == ' / '.join(f'{value:.1f}' for value in box)
    assert made(results, 'six_pictures.tested')[1][4] == f'{figure("six_pictures", "refined/mIoU"):.1f}'


def test_seeds_and_variants(results):
    key = 'shapes_testA_first_sentence/coarse/mIoU'
    values = [figure('default', seed, key) for seed in (0, 1, 2)]
    cell = f'{sum(values) / 3:.1f} ({min(values):.1f} to {max(values):.1f})'
    assert made(results, 'seeds.sets')[3][2] == cell
    assert len(made(results, 'variants.means')) == 1 + len(VARIANTS)
    sets = [f'shapes_{split}_{way}_sentence' for split in ('val', 'testA', 'testB') for way in ('first', 'every')]
    seeds = [sum(figure('padding', seed, f'{name}/refined/mIoU') for name in sets) / 6 for seed in (0, 1, 2)]
    row = made(results, 'variants.means')[8]
    assert row[0] == 'mask prompt padded with the lowest logit of all masks'
    assert row[4:] == [f'{sum(seeds) / 3:.1f}', ', '.join(f'{seed:.1f}' for seed in seeds)]


def test_tokens_of_photographs(results):
    rows = made(results, 'photographs.tokens')
    assert rows[1] == ['none (dense)', '324', '176', '294', '345', '1,139', '100 %']
    kept = round(324 * figure('patches/v2_0.75', 'astronaut') / 100)
    assert rows[4][:2] == ['v2, alpha 0.75', f'{kept}']
    assert rows[4][6] == f'{100 * sum(map(int, rows[4][1:5])) / 1139:.1f} %'
    assert made(results, 'floor.tokens')[1:] == [
        ["644x476 (COCO's 640x480)", '23x17 = 391', '67', '20, 8, 39', '47 tokens for 71 units', '17.1 %'],
        ['1176x812', '42x29 = 1,218', '126', '70, 14, 42', '56 tokens for 98 units', '10.3 %'],
        ['224x224', '8x8 = 64', '4', '4, 0, 0', 'none', '6.25 %'],
    ]


def test_sweep(results):
    rows = made(results, 'sweep.budgets')
    recommended = 'budget-laplacian_mean_blur5'
    assert rows[0][1:3] == [f'{figure(f"{recommended}-{alpha}", "kept"):.0f} %' for alpha in (0.5, 0.3)]
    refined, coarse = (figure(f'{recommended}-0.2', f'{mask}/mIoU') for mask in ('refined', 'coarse'))
    assert rows[1][3] == f'{refined:.1f} ({coarse:.1f})'
    others = ['entropy_blur5', 'laplacian_mean', 'upsample_mse', 'upsample_mse_blur5']
    others += [f'laplacian_{aggregate}{blur}' for aggregate in ('max', 'std') for blur in ('', '_blur5')]
    values = [figure(f'budget-{name}-0.1', 'refined/mIoU') for name in others]
    assert rows[3][4] == f'{min(values):.1f} to {max(values):.1f}'
    name = 'v2-upsample_mse-1.0'
    share, refined, coarse = (figure(name, key) for key in ('kept', 'refined/mIoU', 'coarse/mIoU'))
    assert made(results, 'sweep.thresholds')[5][2] == f'{share:.0f} %: {refined:.1f} ({coarse:.1f})'


def test_benchmarks(results):
    rows = made(results, 'frozen.ways')
    plain, ours = (figure(way, '1176x812') for way in ('reference', 'flmm'))
    smaller = figure('reference', '1176x812', 'peak') / figure('flmm', '1176x812', 'peak')
    assert rows[8][2] == f'{2000 * ours:,.0f} ({1000 * ours:,.0f})'
    assert rows[8][5] == f'{plain / ours:.2f}x ({plain / ours:.2f}x), {smaller:.1f}x'
    assert made(results, 'frozen.memory')[3][3] == f'{figure("reference", "1568x1176", "peak"):,.0f}'
    row = made(results, 'training.large')[7]
    seconds = figure('1176x812', 3, 'flmm, stored features')
    assert row[:5] == ['flmm, stored', f'{1 / seconds:.2f}', f'{1000 * seconds:,.0f}', '500', '']
    ratio = figure('644x476', 8, 'reference') / figure('644x476', 8, 'flmm')
    assert made(results, 'training.small')[3][13] == f'{ratio:.3g}x'
    assert made(results, 'training.phrases')[3][3] == f'{1000 * figure("644x476", 8, "flmm"):,.0f} ({ratio:.3g}x)'
    row = made(results, 'pruning.speed')[14]
    assert (row[:3], row[6]) == (['', 'v2, entropy', '1,200'], f'{figure("1176x812", "v2, entropy", "faster"):.2f}')
    assert made(results, 'padding.share')[2] == ['8', '8.2 %', '8.6 %']


def test_questions(results):
    rows = made(results, 'questions.phrases')
    assert [row[0] for row in rows[1:]] == ['1', '2', '4', '8', '32', '100']
    times = [f'{1000 * figure("8", way):,.0f}' for way in ('read_once_s', 'one_by_one_s')]
    assert rows[4] == ['8', *times, f'{figure("8", "times_faster"):.2f}']
    times = [f'{1000 * figure(way):,.0f}' for way in ('reading_s', 'one_more_s')]
    less = f'{1 / figure("one_more_share"):.1f}'
    assert made(results, 'questions.kept')[1] == ['421', *times, less, '5.00', '4.00']
    rows = made(results, 'questions.memory')
    assert rows[2] == ['', 'ground', f'{figure("ground"):.1f}', f'{figure("ground", "peak"):,.0f}']
    assert rows[5][:2] == ['640x480, 120', 'predict']


def test_models(results):
    quality = [f'{figure("demo_heads_4", mask):.1f}' for mask in ('coarse', 'refined')]
    assert made(results, 'heads.quality')[4] == ['4 best', *quality, '0.70']
    row = made(results, 'full_size.models')[2]
    assert (row[0], row[7]) == ('qwen2_5_vl_3b', f'90, {figure("qwen2_5_vl_3b", "pruned"):.0f}')
    assert made(results, 'demo_weights.pointing')[3][3] == f'{figure("chance", "kind"):.1f}'
    cells = [f'{figure("hard", prompt):.1f}' for prompt in ('coarse', 'coarse mask')]
    assert made(results, 'demo_weights.sam')[2][3:5] == cells
