"""tools/score.py: what it prints and writes; what it counts is tested in tests/scoring."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from prediction_lines import read_lines, rle, write_lines
from tiny_refcoco import REPOSITORY, run_tool

NUM_IMAGES = 6


def square(start, side):
    """The RLE of a square on the diagonal of 30x40 px."""
    mask = np.zeros((30, 40), dtype=bool)
    mask[start : start + side, start : start + side] = True
    return rle(mask)


@pytest.fixture
def files(tmp_path):
    """Truth and predictions of six images, one phrase each; in the last two nothing is there."""
    targets = [square(5, 10)] * 4 + [None] * 2
    found = [square(5, 10), square(5, 9), square(5, 8), None, None, square(0, 5)]
    heads = [{'image': f'{index}.png', 'phrase': f'thing {index}'} for index in range(NUM_IMAGES)]
    truth = [{**head, 'mask': mask} for head, mask in zip(heads, targets, strict=True)]
    lines = [{**head, 'refined': mask} for head, mask in zip(heads, found, strict=True)]
    return write_lines(tmp_path / 'out.jsonl', lines), write_lines(tmp_path / 'truth.jsonl', truth), lines, truth


EXPECTED = {
    'mIoU': 100 * (1 + 0.81 + 0.64 + 0) / 4,
    'gIoU': 100 * (1 + 0.81 + 0.64 + 0 + 1 + 0) / 6,
    'cIoU': 100 * (100 + 81 + 64) / (4 * 100 + 25),
    'N_acc': 50,
    'T_acc': 75,
    'Pr@0.5': 75,
    'Pr@0.6': 75,
    'Pr@0.7': 50,
    'Pr@0.8': 50,
    'Pr@0.9': 25,
}


def values(figures):
    return {key: value for key, value in figures.items() if not re.search('_(low|high)', key)}


def test_percent_under_flat_keys(files, tmp_path, capsys):
    predictions, truth, *_ = files
    run_tool('score', predictions, truth, '--json', tmp_path / 'scores.json')
    figures = json.loads((tmp_path / 'scores.json').read_text())
    assert values(figures) == pytest.approx(EXPECTED)
    assert figures.keys() == {f'{key}{end}' for key in EXPECTED for end in ('', '_low', '_high')}
    half = (figures['mIoU_high'] - figures['mIoU_low']) / 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['truth.jsonl']
    assert lines[1].split() == ['refined', 'mIoU', '61.3', f'±{half:.1f}']


def test_coarse_masks_have_a_dict_of_their_own_and_so_have_test_sets(files, tmp_path):
    _, _, lines, truth = files
    whole = [{**line, 'coarse': true['mask']} for line, true in zip(lines, truth, strict=True)]
    truths = [{**line, 'test_set': name} for name in ('a', 'b') for line in truth]
    predictions = [{**line, 'test_set': name} for name in ('a', 'b') for line in (whole if name == 'a' else lines)]
    paths = (write_lines(tmp_path / name, rows) for name, rows in (('o.jsonl', predictions), ('t.jsonl', truths)))
    run_tool('score', *paths, '--json', tmp_path / 'scores.json')
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert values(scores['a'].pop('coarse')) == pytest.approx(dict.fromkeys(EXPECTED, 100))
    assert list(scores) == ['a', 'b']
    assert scores['a'] == scores['b']
    assert values(scores['b']) == pytest.approx(EXPECTED)


def test_what_does_not_apply_is_absent(tmp_path):
    lines = [{'image': 'a', 'phrase': 'x', 'refined': None}]
    paths = (
        write_lines(tmp_path / 'o.jsonl', lines),
        write_lines(tmp_path / 't.jsonl', [{'image': 'a', 'phrase': 'x', 'mask': None}]),
    )
    run_tool('score', *paths, '--json', tmp_path / 'scores.json')
    assert json.loads((tmp_path / 'scores.json').read_text()) == {'gIoU': 100.0, 'N_acc': 100.0}


@pytest.fixture
def compared(files, tmp_path):
    """Arguments that compare the predictions with others: 0 won, 1 lost, 2 and 3 lost, 4 tied, 5 won."""
    predictions, truth, lines, _ = files
    found = [square(5, 2), square(5, 10), square(5, 10), square(5, 10), None, square(0, 5)]
    others = [{**line, 'refined': mask} for line, mask in zip(lines, found, strict=True)]
    other = write_lines(tmp_path / 'other.jsonl', others)
    (tmp_path / 'images').mkdir()
    for index in range(NUM_IMAGES):
        Image.new('RGB', (40, 30), (9 * index, 99, 0)).save(tmp_path / 'images' / f'{index}.png')
    return [predictions, truth, '--compare', other, '--out', tmp_path / 'compared', '--images', tmp_path / 'images']


def test_a_comparison_with_pictures(compared, tmp_path, capsys):
    run_tool('score', *compared)
    printed = capsys.readouterr().out
    assert re.search('A is .*out.jsonl, B is .*other.jsonl', printed)
    assert 'phrases that A has against B, by refined IoU: 1 won, 3 lost, 2 tied (within 0.01)' in printed
    rows = [line.split() for line in printed.splitlines()]
    place = next(index for index, row in enumerate(rows) if row[:2] == ['refined', 'T_acc'])
    assert rows[place][2:4] == ['A', '75.0']
    assert rows[place + 1][:2] == ['B', '100.0']

    lines = read_lines(tmp_path / 'compared' / 'won_lost.jsonl')
    assert [(line['image'], line['outcome']) for line in lines] == [
        ('0.png', 'won'), ('4.png', 'tied'), ('5.png', 'tied'), ('1.png', 'lost'), ('2.png', 'lost'), ('3.png', 'lost'),
    ]  # fmt: skip
    assert lines[0] == {
        'image': '0.png', 'phrase': 'thing 0', 'outcome': 'won', 'iou': 1.0, 'other_iou': pytest.approx(0.04),
    }  # fmt: skip
    sizes = {path.name: Image.open(path).size for path in (tmp_path / 'compared').glob('*.png')}
    assert sizes == {'won.png': (840, 235), 'lost.png': (840, 3 * 235)}  # image, A, B, truth; a row for each phrase


def test_a_margin(compared, capsys):
    run_tool('score', *compared, '--margin', '0.5')
    assert '1 won, 1 lost, 4 tied (within 0.5)' in capsys.readouterr().out


def test_no_page_of_an_earlier_comparison_is_left(compared, tmp_path):
    for margin, pages in (('0', {'won.png', 'lost.png'}), ('0.99', {'lost.png'}), ('1', set())):
        run_tool('score', *compared, '--margin', margin)
        assert {path.name for path in (tmp_path / 'compared').glob('*.png')} == pages


def test_a_missing_picture_is_named_when_all_else_is_written(compared, tmp_path):
    (tmp_path / 'images' / '2.png').unlink()
    with pytest.raises(ValueError, match=r"image '.*images/2\.png' cannot be read \(it does not exist\)"):
        run_tool('score', *compared)
    assert len(read_lines(tmp_path / 'compared' / 'won_lost.jsonl')) == NUM_IMAGES
    assert (tmp_path / 'compared' / 'won.png').exists()


def test_a_picture_of_another_size_is_named(compared, tmp_path):
    Image.new('RGB', (30, 40)).save(tmp_path / 'images' / '0.png')
    with pytest.raises(
        ValueError, match=r"images/0\.png' has 40x30 px \(height x width\), its masks 30x40 \(line 1 of"
    ):
        run_tool('score', *compared)


def test_other_predictions_are_checked_too(compared, tmp_path):
    lines = read_lines(tmp_path / 'other.jsonl')
    write_lines(tmp_path / 'other.jsonl', lines[:-1])
    with pytest.raises(
        ValueError, match=r"other\.jsonl' lacks predictions for 1 of 6 truths, first for phrase 'thing 5'"
    ):
        run_tool('score', *compared)


def test_a_comparison_needs_a_folder(files, capsys):
    with pytest.raises(SystemExit):
        run_tool('score', *files[:2], '--compare', files[0])
    assert '--compare and --out need each other' in capsys.readouterr().err


def test_it_runs_without_torch(files, tmp_path):
    """As on a machine that has numpy and pycocotools alone."""
    forbidden = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'mmengine', 'mmdet', 'transformers', 'matplotlib']))"
    )
    code = f'{forbidden}; import runpy; runpy.run_path({str(REPOSITORY / "tools" / "score.py")!r}, run_name="__main__")'
    arguments = [*map(str, files[:2]), '--json', str(tmp_path / 'scores.json')]
    subprocess.run([sys.executable, '-c', code, *arguments], check=True, capture_output=True)
    assert math.isclose(json.loads((tmp_path / 'scores.json').read_text())['T_acc'], 75)


def test_the_example_of_the_document(tmp_path):
    lines = re.findall(r'^    (\{"image".*)$', (REPOSITORY / 'docs' / 'evaluation.md').read_text(), re.M)
    assert len(lines) == 6
    paths = (write_lines(tmp_path / name, part) for name, part in (('o.jsonl', lines[:3]), ('t.jsonl', lines[3:])))
    run_tool('score', *paths, '--json', tmp_path / 'scores.json')
    figures = json.loads((tmp_path / 'scores.json').read_text())
    # 2x3 px of 3x3, nothing where nothing is, and 2x2 px of as many
    assert values(figures) == pytest.approx(
        {
            'mIoU': 100 * (6 / 9 + 1) / 2, 'gIoU': 100 * (6 / 9 + 1 + 1) / 3, 'cIoU': 100 * 10 / 13, 'N_acc': 100,
            'T_acc': 100, 'Pr@0.5': 100, 'Pr@0.6': 100, 'Pr@0.7': 50, 'Pr@0.8': 50, 'Pr@0.9': 50,
            'mIoU/animal': 100 * 6 / 9, 'N_acc/animal': 100,
        }
    )  # fmt: skip


@pytest.mark.parametrize('option', ['--json', '--out'])
def test_a_place_where_nothing_can_be_written_is_named_before_anything_is_read(option, tmp_path):
    (tmp_path / 'file').touch()
    options = ['--compare', 'absent'] if option == '--out' else []
    with pytest.raises(ValueError, match=rf"^{option} is '.*file/.+', and its folder cannot be made"):
        run_tool('score', 'absent', 'absent', *options, option, tmp_path / 'file' / 'new')


def test_the_folder_of_the_scores_is_made(files, tmp_path):
    run_tool('score', *files[:2], '--json', tmp_path / 'made' / 'scores.json')
    assert values(json.loads((tmp_path / 'made' / 'scores.json').read_text())) == pytest.approx(EXPECTED)
