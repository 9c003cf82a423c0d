import re

import numpy as np
import pytest
from prediction_lines import rle, write_lines

from flmm.phrase_info import PhraseInfo
from flmm.scoring import PhraseScore, match_lines, read_predictions, read_truths, score_pairs


@pytest.fixture
def matched(tmp_path):
    """Write both files, read them, and match their lines."""

    def match(predictions, truths):
        return match_lines(
            read_predictions(write_lines(tmp_path / 'out.jsonl', predictions)),
            read_truths(write_lines(tmp_path / 'truth.jsonl', truths)),
        )

    return match


def prediction(image, phrase, seed=0, size=(6, 8), **fields):
    return {'image': image, 'phrase': phrase, 'refined': rle((*size, seed)), **fields}


def truth(image, phrase, seed=1, size=(6, 8), **fields):
    return {'image': image, 'phrase': phrase, 'mask': rle((*size, seed)), **fields}


def random_mask(seed):
    return np.random.default_rng(seed).random((6, 8)) < 0.4


def test_lines_are_matched_by_image_phrase_and_order_among_equals(matched):
    truths = [truth('a', 'cat'), truth('b', 'cat'), truth('a', 'dog'), truth('a', 'cat')]
    predictions = [
        prediction('a', 'cat', score=0.1), prediction('a', 'cat', score=0.2), prediction('a', 'dog'),
        prediction('b', 'cat'),
    ]  # fmt: skip
    places = [int(line.where.split()[1]) for line, _ in matched(predictions, truths)]
    assert places == [1, 4, 3, 2]


def test_a_test_set_counts_where_the_truth_names_it(matched):
    truths = [truth('a', 'cat', test_set=name) for name in ('val', 'testA')]
    predictions = [prediction('a', 'cat', test_set=name) for name in ('testA', 'val')]
    pairs = matched(predictions, truths)
    assert [(line.test_set, true.test_set) for line, true in pairs] == [('val', 'val'), ('testA', 'testA')]
    names = [score.dataset_name for score in score_pairs(pairs, test_set='unused')]
    assert names == ['val', 'testA']
    pairs = matched(predictions[:1], [truth('a', 'cat')])
    assert [score.dataset_name for score in score_pairs(pairs, test_set='own')] == ['own']


def test_random_masks_against_numpy(matched):
    truths, predictions, expected = [], [], []
    for index in range(30):
        refined, coarse, true, ignored = (random_mask(4 * index + offset) for offset in range(4))
        ignored &= index % 2 == 0  # every other line has nothing to ignore
        info = {'kind': 'color', 'plural': bool(index % 3)}
        extra = {'ignore': rle(ignored)} if ignored.any() else {}
        truths.append(truth(f'{index % 7}', 'cat', 4 * index + 2, **extra, **info))
        predictions.append({'image': f'{index % 7}', 'phrase': 'cat', 'refined': rle(refined), 'coarse': rle(coarse)})
        expected += [
            PhraseScore(
                dataset_name='own', source=source, image=f'{index % 7}', info=PhraseInfo(**info),
                intersection=int((mask & true & ~ignored).sum()), union=int(((mask | true) & ~ignored).sum()),
                has_target=True, says_absent=False,
            )
            for source, mask in (('refined', refined), ('coarse', coarse))
        ]  # fmt: skip
    assert list(score_pairs(matched(predictions, truths), test_set='own')) == expected


LEFT = np.tile(np.arange(8) < 3, (6, 1))  # 18 px
TOP = np.tile(np.arange(6)[:, None] < 2, (1, 8))  # 16 px, 6 of them in LEFT
NOTHING = np.zeros((6, 8))


@pytest.mark.parametrize(
    ('mask', 'exists', 'has_target', 'counts', 'says_absent'),
    [
        (LEFT, None, False, (0, 18), False),
        (None, None, False, (0, 0), True),
        (LEFT, False, False, (0, 0), True),
        (NOTHING, True, False, (0, 0), False),
        (NOTHING, None, True, (0, 16), True),
        (None, False, True, (0, 16), True),
        (LEFT, False, True, (0, 16), True),
        (NOTHING, True, True, (0, 16), False),
        (LEFT, True, True, (6, 28), False),
    ],
)
@pytest.mark.parametrize('absent', [None, NOTHING], ids=['null', 'no pixel'])
def test_what_is_not_there(mask, exists, has_target, counts, says_absent, absent, matched):
    line = {'image': 'a', 'phrase': 'cat', 'refined': None if mask is None else rle(mask)}
    line |= {} if exists is None else {'exists': exists}
    true = TOP if has_target else absent
    pairs = matched([line], [{'image': 'a', 'phrase': 'cat', 'mask': None if true is None else rle(true)}])
    (score,) = score_pairs(pairs, test_set='own')
    assert (score.intersection, score.union) == counts
    assert (score.has_target, score.says_absent) == (has_target, says_absent)


A, B = prediction('a', 'cat'), prediction('b', 'dog')
TRUE_A, TRUE_B = truth('a', 'cat'), truth('b', 'dog')
MISMATCHES = {
    'missing': (
        [A], [TRUE_A, TRUE_B, TRUE_B],
        "out.jsonl' lacks predictions for 2 of 3 truths, first for phrase 'dog' of image 'b' (line 2 of truth '/*",
    ),
    'one of two equals missing': ([A], [TRUE_A, TRUE_A], 'lacks predictions for 1 of 2 truths'),
    'double': (
        [A, B, A], [TRUE_A, TRUE_B],
        "line 3 of predictions /* predicts phrase 'cat' of image 'a' once more than there are truths; before it "
        "stands line 1 of predictions /*",
    ),
    'foreign image': (
        [A, prediction('c', 'cat')], [TRUE_A], "out.jsonl' is of phrase 'cat' of image 'c', of which no truth is known",
    ),
    'foreign phrase': ([A, prediction('a', 'Cat')], [TRUE_A], "out.jsonl' is of phrase 'Cat' of image 'a', of"),
    'foreign test set': (
        [{**A, 'test_set': 'val'}], [{**TRUE_A, 'test_set': 'testA'}],
        "out.jsonl' is of phrase 'cat' of image 'a' of test set 'val', of which no truth is known",
    ),
    'no test set': (
        [A], [{**TRUE_A, 'test_set': 'val'}], "line 1 of predictions /* lacks 'test_set', which the truths have (line",
    ),
    'another size': (
        [prediction('a', 'cat', size=(8, 6))], [TRUE_A],
        "'refined' of line 1 of predictions /* has size [8, 6], but 'mask' of line 1 of truth /* has [6, 8]; masks "
        "of image 'a' must have its height and width",
    ),
    'coarse of another size': (
        [{**A, 'coarse': rle((3, 4, 0))}], [TRUE_A], "'coarse' of line 1 of predictions /* has size [3, 4], but",
    ),
    'ignored of another size': (
        [A], [{**TRUE_A, 'ignore': rle((8, 6, 0))}], "'ignore' of line 1 of truth /* has size [8, 6], but 'mask'",
    ),
    'another size where nothing is': (
        [A, prediction('a', 'dog', size=(8, 6))], [TRUE_A, {**truth('a', 'dog'), 'mask': None}],
        "'refined' of line 2 of predictions /* has size [8, 6], but 'mask' of line 1 of truth /* has [6, 8]",
    ),
    'two sizes of which no truth says': (
        [{**A, 'coarse': rle((8, 6, 0))}], [{**TRUE_A, 'mask': None}],
        "'coarse' of line 1 of predictions /* has size [8, 6], but 'refined' of line 1 of predictions /* has [6, 8]",
    ),
    'truths that do not fit together': (
        [A, A], [TRUE_A, truth('a', 'cat', size=(8, 6))], "'mask' of line 2 of truth /* has size [8, 6], but",
    ),
}  # fmt: skip


@pytest.mark.parametrize(('predictions', 'truths', 'problem'), MISMATCHES.values(), ids=MISMATCHES)
def test_lines_that_do_not_match_are_named(predictions, truths, problem, matched):
    with pytest.raises(ValueError, match=re.escape(problem).replace(r'/\*', '.*')):
        matched(predictions, truths)
