import pytest
from prediction_lines import rle, write_lines

from flmm.scoring import compare, count_outcomes, match_lines, read_predictions, read_truths


def bar(width):
    """The first pixels of a row of ten."""
    return None if width is None else rle([[column < width for column in range(10)]])


CASES = {
    'better': (10, 10, 5, 1.0, 0.5, 'won'),
    'worse': (10, 4, 8, 0.4, 0.8, 'lost'),
    'same': (10, 6, 6, 0.6, 0.6, 'tied'),
    'nearly': (10, 7, 8, 0.7, 0.8, 'tied'),  # 0.8 - 0.7 is more than 0.1 in floats
    'said so': (None, None, 3, 1.0, 0.0, 'won'),
    'both said so': (None, None, 0, 1.0, 1.0, 'tied'),
    'only one found it': (10, None, 2, 0.0, 0.2, 'lost'),
}


@pytest.fixture
def compared(tmp_path):
    files = []
    for place in (0, 1, 2):
        key = 'refined' if place else 'mask'
        lines = [{'image': 'a', 'phrase': phrase, key: bar(case[place])} for phrase, case in CASES.items()]
        files.append(write_lines(tmp_path / f'{place}.jsonl', lines))
    truths = read_truths(files[0])
    pairs, others = (match_lines(read_predictions(path), truths) for path in files[1:])
    return compare(pairs, others, margin=0.1)


def test_outcomes(compared):
    assert {each.truth.phrase for each in compared} == CASES.keys()
    for each in compared:
        *_, iou, other_iou, outcome = CASES[each.truth.phrase]
        assert (*each.ious, each.outcome) == (iou, other_iou, outcome)
        assert each.difference == iou - other_iou
    assert count_outcomes(compared) == {'won': 2, 'lost': 2, 'tied': 3}


def test_the_order_is_from_won_to_lost(compared):
    assert [each.truth.phrase for each in compared] == [
        'said so', 'better', 'same', 'both said so', 'nearly', 'only one found it', 'worse',
    ]  # fmt: skip


def test_what_is_said_to_be_absent_has_no_mask(compared):
    by_phrase = {each.truth.phrase: each for each in compared}
    assert by_phrase['said so'].masks[0] is None
    assert by_phrase['both said so'].masks == (None, None)
    assert by_phrase['better'].masks[1]['size'] == [1, 10]


@pytest.mark.parametrize('margin', [-0.1, 1.5, float('nan')])
def test_a_margin_that_no_iou_has_is_refused(margin):
    with pytest.raises(ValueError, match=rf'margin is {margin}, expected a difference of IoU, 0 to 1'):
        compare([], [], margin=margin)
