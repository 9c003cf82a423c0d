import json
import os
import re

import pytest
from prediction_lines import rle, write_lines
from pycocotools import mask as coco_mask

from flmm.phrase_info import PhraseInfo
from flmm.scoring import read_predictions, read_truths

MASK = rle((6, 8, 0))
EMPTY = {'size': [6, 8], 'counts': '`1'}
GOOD = {'image': 'a.jpg', 'phrase': 'cat', 'refined': MASK}
TRUE = {'image': 'a.jpg', 'phrase': 'cat', 'mask': MASK}


def changed(line, **fields):
    return {key: value for key, value in {**line, **fields}.items() if value != 'LEFT OUT'}


def test_predictions(tmp_path):
    lines = [
        {**GOOD, 'coarse': None, 'score': 0.25, 'exists': False, 'test_set': 'val', 'kind': 'name', 'seconds': 3},
        {**GOOD, 'coarse': MASK, 'phrase': '\ud83d 狗 "$"', 'score': 1, 'exists': None, 'test_set': 'val'},
        {**GOOD, 'test_set': 'other', 'score': None},
        {**GOOD, 'test_set': 'other', 'score': 10**400},
    ]
    path = write_lines(tmp_path / 'out.jsonl', lines)
    first, second, third, _ = read_predictions(path)
    assert first.where == f'line 1 of predictions {str(path)!r}'
    assert (first.image, first.phrase, first.test_set) == ('a.jpg', 'cat', 'val')
    assert first.exists == {'coarse': False, 'refined': False}
    assert first.masks['coarse'] is None
    assert coco_mask.area(first.masks['refined']) == coco_mask.area(MASK) > 0
    assert (second.phrase, second.exists) == ('\ud83d 狗 "$"', {'coarse': None, 'refined': None})
    assert third.masks.keys() == {'refined'}


def test_truths(tmp_path):
    lines = [{**TRUE, 'ignore': EMPTY, 'kind': 'name', 'thing': False, 'plural': True}, {**TRUE, 'mask': None}]
    first, second = read_truths(write_lines(tmp_path / 'truth.jsonl', lines))
    assert first.info == PhraseInfo(kind='name', thing=False, plural=True)
    assert coco_mask.area(first.ignore) == 0
    assert (second.mask, second.ignore, second.info, second.test_set) == (None, None, PhraseInfo(), None)


@pytest.mark.parametrize(
    ('fields', 'says_absent'),
    [
        ({}, False),
        ({'refined': None}, True),
        ({'refined': EMPTY}, True),
        ({'refined': EMPTY, 'exists': True}, False),
        ({'refined': EMPTY, 'exists': False}, True),
        ({'refined': None, 'exists': False}, True),
        ({'exists': False}, True),
        ({'exists': True}, False),
    ],
)
def test_what_says_that_nothing_is_there(fields, says_absent, tmp_path):
    (line,) = read_predictions(write_lines(tmp_path / 'out.jsonl', [{**GOOD, **fields}]))
    assert line.says_absent('refined') is says_absent


@pytest.mark.parametrize(
    ('fields', 'coarse_absent', 'refined_absent'),
    [
        ({'exists': True}, False, False),
        ({'exists': True, 'coarse_exists': None}, True, False),  # an empty mask then says it
        ({'exists': True, 'coarse_exists': None, 'coarse': None}, True, False),
        ({'exists': True, 'coarse_exists': False, 'coarse': MASK}, True, False),
        ({'exists': True, 'coarse_exists': None, 'coarse': MASK}, False, False),
        ({'exists': False, 'coarse_exists': True, 'refined': None}, False, True),
    ],
)
def test_coarse_masks_may_have_a_verdict_of_their_own(fields, coarse_absent, refined_absent, tmp_path):
    line = {**GOOD, 'coarse': EMPTY, 'refined': EMPTY, **fields}
    (found,) = read_predictions(write_lines(tmp_path / 'out.jsonl', [line]))
    assert (found.says_absent('coarse'), found.says_absent('refined')) == (coarse_absent, refined_absent)


def test_a_file_may_end_without_a_line_end(tmp_path):
    path = tmp_path / 'out.jsonl'
    path.write_text(json.dumps(GOOD))
    assert len(read_predictions(path)) == 1


@pytest.mark.parametrize(
    'content', ['\ufeff{0}\n{1}\n', '{0}\r\n{1}\r\n', '{0}\n\n  \n{1}'], ids=['byte order mark', 'Windows', 'blank']
)
def test_what_editors_add_is_read(content, tmp_path):
    path = tmp_path / 'out.jsonl'
    path.write_bytes(content.format(json.dumps(GOOD), json.dumps({**GOOD, 'phrase': 'dog'})).encode())

    assert [line.phrase for line in read_predictions(path)] == ['cat', 'dog']


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / 'out.jsonl'
    path.write_bytes(b'{"image": "\xe9.jpg"}')

    with pytest.raises(ValueError, match=r"predictions '.*out\.jsonl' is not JSON \('utf-8' codec .*save it as UTF-8"):
        read_predictions(path)


GOOD_TEXT, CUT = json.dumps(GOOD), json.dumps({**GOOD, 'phrase': 'dog'})[:-9]
BROKEN = {
    'cut off': (CUT, r'is not JSON \('),
    'cut off after a brace': ('{', r'is not JSON \('),
    'no JSON': ('image: a.jpg', r'is not JSON \(Expecting value: line 1 column 1 \(char 0\); it begins with'),
    'two objects': (GOOD_TEXT + GOOD_TEXT, r'is not JSON \(Extra data:'),
    'UTF-16': (GOOD_TEXT.encode('utf-16-le'), 'is not JSON'),
    'a list': ([GOOD], r"is \[{'image': 'a.jpg', .*, expected a JSON object"),
    'a string': ('"cat"', "is 'cat', expected a JSON object"),
    'nested too deep': ('[' * 100_000, 'is not JSON (maximum recursion depth exceeded'),
    'a key twice': ('{"image": "a", "image": "b"}', "has an object with the key 'image' twice"),
    'a key twice in a mask': ('{"refined": {"size": 1, "size": 2}}', "has an object with the key 'size' twice"),
    'NaN': (changed(GOOD, score=float('nan')), 'is not JSON (NaN at score); mend that'),
    'Infinity': (changed(GOOD, score=float('inf')), 'is not JSON (Infinity at score); mend that'),
    'key in capitals': (changed(GOOD, Exists=False), "has the key 'Exists', which means nothing; write 'exists' if"),
    'misspelt key': (changed(GOOD, corse=None), "has the key 'corse', which means nothing; write 'coarse' if that"),
    'no image': (changed(GOOD, image='LEFT OUT'), "lacks 'image', expected a string that is not empty"),
    'image as number': (changed(GOOD, image=3), "'image' is 3, expected a string that is not empty"),
    'no phrase': (changed(GOOD, phrase='LEFT OUT'), "lacks 'phrase', expected a string"),
    'empty phrase': (changed(GOOD, phrase=''), "'phrase' is '', expected a string that is not empty"),
    'phrases': (changed(GOOD, phrase=['cat']), r"'phrase' is \['cat'\], expected a string"),
    'test set as number': (changed(GOOD, test_set=1), "'test_set' is 1, expected a string"),
    'exists as word': (changed(GOOD, exists='no'), "'exists' is 'no', expected true or false"),
    'exists as number': (changed(GOOD, exists=1), "'exists' is 1, expected true or false"),
    'score as string': (changed(GOOD, score='0.5'), "'score' is '0.5', expected a number"),
    'score as flag': (changed(GOOD, score=True), "'score' is True, expected a number"),
    'score too large': (GOOD_TEXT[:-1] + ', "score": 1e400}', "'score' is inf, expected a number"),
    'a number of too many digits': (GOOD_TEXT[:-1] + f', "score": {"9" * 5000}}}', 'Exceeds the limit'),
    'no mask': (changed(GOOD, refined='LEFT OUT'), "lacks 'refined', a mask as RLE or null for 'not there'"),
    'polygons': (changed(GOOD, refined=[[1, 1, 5, 1, 5, 5]]), r"'refined' is \[\[1, 1, .*, expected an RLE or null"),
    'mask as string': (changed(GOOD, refined='PPY'), "'refined' is 'PPY', expected an RLE or null"),
    'runs': (changed(GOOD, refined={'size': [6, 8], 'counts': [48]}), r"counts are \[48\], expected COCO's string"),
    'no size': (
        changed(GOOD, refined={'counts': '`1'}),
        r"'refined' is an RLE without size or counts \(keys \['counts",
    ),
    'no counts': (changed(GOOD, refined={'size': [6, 8]}), r"is an RLE without size or counts \(keys \['size'\]\)"),
    'one side': (changed(GOOD, refined={**MASK, 'size': [48]}), r'has size \[48\], expected \[height, width\] in px'),
    'negative side': (changed(GOOD, refined={**MASK, 'size': [-6, -8]}), r'has size \[-6, -8\], expected \[height, wi'),
    'fractions': (
        changed(GOOD, refined={**MASK, 'size': [6.0, 8]}),
        r'has size \[6.0, 8\], expected \[height, width\]',
    ),
    'huge size': (changed(GOOD, refined={**MASK, 'size': [10**6] * 2}), 'of more px than an RLE can count'),
    'size swapped to more': (changed(GOOD, refined={**MASK, 'size': [6, 9]}), r'is an RLE of 48 px .*, expected 54'),
    'counts cut off': (changed(GOOD, refined={**EMPTY, 'counts': '`'}), "compressed counts '`' are cut off"),
    'counts broken': (changed(GOOD, refined={**EMPTY, 'counts': 'zz'}), "compressed counts 'zz' are broken"),
    'counts beyond': (changed(GOOD, refined={**EMPTY, 'counts': '0'}), 'is an RLE of 0 px .*, expected 48'),
    'no counts in it': (changed(GOOD, refined={**EMPTY, 'counts': ''}), "is an RLE whose counts are ''"),
    'coarse broken': (changed(GOOD, coarse={**EMPTY, 'counts': '`'}), "'coarse' is an RLE whose compressed counts '`'"),
    'there but null': (changed(GOOD, exists=True, refined=None), "'exists' is true, but 'refined' is null"),
    'coarse null': (changed(GOOD, exists=True, coarse=None), "'exists' is true, but 'coarse' is null"),
    'coarse there but null': (
        changed(GOOD, exists=False, coarse_exists=True, coarse=None),
        "'coarse_exists' is true, but 'coarse' is null",
    ),
    'coarse_exists as word': (changed(GOOD, coarse=MASK, coarse_exists='no'), "'coarse_exists' is 'no', expected true"),
    'coarse_exists misspelt': (
        changed(GOOD, coarse_exist=True),
        "'coarse_exist', which means nothing; write 'coarse_ex",
    ),
}


@pytest.mark.parametrize(('line', 'problem'), BROKEN.values(), ids=BROKEN)
def test_a_broken_prediction_is_named(line, problem, tmp_path):
    path = write_lines(tmp_path / 'out.jsonl', [GOOD, line, GOOD])
    problem = problem if '\\' in problem or '.*' in problem else re.escape(problem)
    with pytest.raises(ValueError, match=f"^line 2 of predictions '.*out\\.jsonl':? .*{problem}"):
        read_predictions(path)


def test_keys_of_other_tools_may_look_like_one_that_is_there(tmp_path):
    line = changed(GOOD, phrase_id=3, image_id='7', refined_=None)
    (prediction,) = read_predictions(write_lines(tmp_path / 'out.jsonl', [line]))
    assert (prediction.phrase, prediction.image) == (GOOD['phrase'], GOOD['image'])
    assert prediction.masks['refined'] is not None


BROKEN_TRUTHS = {
    'no mask': (changed(TRUE, mask='LEFT OUT'), "lacks 'mask', an RLE or null where the phrase means nothing"),
    'a prediction': (GOOD, "lacks 'mask', an RLE or null where the phrase means nothing"),
    'mask broken': (
        changed(TRUE, mask={**EMPTY, 'counts': '`'}),
        "'mask' is an RLE whose compressed counts '`' are cut",
    ),
    'ignore broken': (changed(TRUE, ignore=True), "'ignore' is True, expected an RLE or null"),
    'kind as number': (changed(TRUE, kind=3), "'kind' is 3, expected a string"),
    'thing as number': (changed(TRUE, thing=1), "'thing' is 1, expected true or false"),
    'plural as word': (changed(TRUE, plural='yes'), "'plural' is 'yes', expected true or false"),
    'misspelt key': (changed(TRUE, ignored=MASK), "has the key 'ignored', which means nothing; write 'ignore' if"),
}


@pytest.mark.parametrize(('line', 'problem'), BROKEN_TRUTHS.values(), ids=BROKEN_TRUTHS)
def test_a_broken_truth_is_named(line, problem, tmp_path):
    path = write_lines(tmp_path / 'truth.jsonl', [TRUE, TRUE, line])
    with pytest.raises(ValueError, match=f"^line 3 of truth '.*truth\\.jsonl':? .*{re.escape(problem)}"):
        read_truths(path)


@pytest.mark.parametrize('order', [[0, 1], [1, 0]])
def test_what_must_stand_in_all_lines_or_none(order, tmp_path):
    with_coarse, without = order.index(0) + 1, order.index(1) + 1
    lines = [{**GOOD, 'coarse': MASK}, GOOD]
    path = write_lines(tmp_path / 'out.jsonl', [lines[place] for place in order])
    match = f"line {without} of .* lacks 'coarse', which line {with_coarse} of .* has; give it in all lines or none"
    with pytest.raises(ValueError, match=match):
        read_predictions(path)
    lines = [{**TRUE, 'test_set': 'val'}, TRUE]
    path = write_lines(tmp_path / 'truth.jsonl', [lines[place] for place in order])
    match = f"line {without} of .* lacks 'test_set', which line {with_coarse} of .* has; give it in all lines or none"
    with pytest.raises(ValueError, match=match):
        read_truths(path)


def test_files_that_are_none(tmp_path):
    (tmp_path / 'empty.jsonl').touch()
    os.mkfifo(tmp_path / 'fifo.jsonl')
    for name, problem in (
        ('absent.jsonl', r"predictions '.*absent\.jsonl' does not exist; put it there"),
        ('empty.jsonl', 'is empty, expected one JSON object a line'),
        ('fifo.jsonl', 'is no regular file'),
        ('.', 'is no regular file'),
    ):
        with pytest.raises(ValueError, match=problem):
            read_predictions(tmp_path / name)
