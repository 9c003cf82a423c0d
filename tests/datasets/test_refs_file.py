"""load_refs: what it reads, and that it never runs a file's code."""

import json
import os
import pickle
import re
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from flmm.datasets.refs_file import check_sentences, load_refs

REFS = [
    {'ref_id': 0, 'ann_id': 7, 'image_id': 1, 'split': 'val', 'sentences': [{'raw': 'Café', 'tokens': ['café']}]},
    {'ref_id': 1, 'ann_id': 8, 'image_id': 1, 'split': 'val', 'sentences': [{'raw': 'a'}, {'raw': 'b'}], 'box': (1.5,)},
]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def write(path, content):
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_come_back(tmp_path, protocol):
    assert load_refs(write(tmp_path / 'refs(unc).p', pickle.dumps(REFS, protocol))) == REFS


def test_byte_strings_of_python_2_are_text(tmp_path):
    # [{'split': 'val', ...}] with str written as byte strings, as Python 2's pickle did.
    fields = (
        b"S'ref_id'\nI0\nsS'ann_id'\nI7\nsS'image_id'\nI1\nsS'split'\nS'val'\ns"
        b"S'sentences'\n(lp1\n(dS'raw'\nS'a\\xe9'\nsas"
    )
    path = write(tmp_path / 'refs(unc).p', b'(lp0\n(d' + fields + b'a.')

    assert load_refs(path) == [
        {'ref_id': 0, 'ann_id': 7, 'image_id': 1, 'split': 'val', 'sentences': [{'raw': 'a\xe9'}]}
    ]


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_pickle_is_refused_and_does_not_run(tmp_path, protocol):
    folder = tmp_path / 'made_by_the_pickle'
    content = pickle.dumps([{**REFS[0], 'extra': Payload(folder)}], protocol)
    path = write(tmp_path / 'refs(unc).p', content)

    with pytest.raises(
        ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain containers.*posix\.mkdir.*which would"
    ):
        load_refs(path)

    assert not folder.exists()
    pickle.loads(content)
    assert folder.exists()  # the payload works, where it is let


@pytest.mark.parametrize(
    ('value', 'asked'),
    [
        (np.float32(1), r'numpy'),
        (OrderedDict(a=1), r'collections\.OrderedDict'),
        (eval, r'builtins\.eval'),
        (1j, 'complex'),
    ],
)
def test_objects_are_refused(tmp_path, value, asked):
    path = write(tmp_path / 'refs(unc).p', pickle.dumps([{**REFS[0], 'extra': value}]))

    with pytest.raises(ValueError, match=f'it asks for .*{asked}'):
        load_refs(path)


@pytest.mark.parametrize('kept', [0, 1, 2, 10, 100, -1])
def test_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path / 'refs(unc).p', pickle.dumps(REFS)[:kept])

    with pytest.raises(ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain containers .*get the original"):
        load_refs(path)


@pytest.mark.parametrize(
    'content',
    [
        b'hello',
        b'<!DOCTYPE html>',
        b'{"refs": []}',
        b'\xef\xbb\xbf [{"ref_id": 1}]',
        b'version https://git-lfs.github.com/spec/v1\n',
        b'Inot a number\n.',  # ValueError in pickle
        b'\x8c\x01\xa3.',  # UnicodeDecodeError
        b'\x80\x63.',  # an unknown protocol
        b'}]K\x01s.',  # TypeError: a list as a key
        b'h\x05.',  # nothing under that memo key
        b'\x8d' + b'\xff' * 8 + b'.',  # OverflowError: a string of 2**64 bytes
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content):
    path = write(tmp_path / 'refs(unc).p', content)

    with pytest.raises(ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain containers"):
        load_refs(path)


@pytest.mark.parametrize(('value', 'kind'), [({'a': 1}, 'dict'), ('refs', 'str'), ([1, 2], 'list'), (None, 'NoneType')])
def test_wrong_content_is_refused(tmp_path, value, kind):
    path = write(tmp_path / 'refs(unc).p', pickle.dumps(value))

    with pytest.raises(ValueError, match=rf"refs\(unc\)\.p' holds {kind}, expected a list of dicts"):
        load_refs(path)


def test_refs_without_what_they_need_are_refused(tmp_path):
    incomplete = {'ref_id': 0, 'ann_id': 7, 'sentences': [{'raw': 'a'}]}
    path = write(tmp_path / 'refs(unc).p', pickle.dumps([REFS[0], incomplete]))
    with pytest.raises(ValueError, match=r"entry 1 of split_file '.*refs\(unc\)\.p' lacks \['image_id', 'split'\]"):
        load_refs(path)

    path = write(tmp_path / 'refs(unc).p', pickle.dumps([{**REFS[1], 'sentences': []}]))
    with pytest.raises(ValueError, match=r"ref 1 of split_file '.*refs\(unc\)\.p' has no sentence"):
        load_refs(path)


def test_missing_file_is_named(tmp_path):
    path = str(tmp_path / 'refs(google).p')

    with pytest.raises(ValueError, match=r"split_file '.*refs\(google\)\.p' does not exist; put it there"):
        load_refs(path)


def test_json_is_recognised(tmp_path):
    path = write(tmp_path / 'refs(unc).p', json.dumps(REFS).encode())
    with pytest.raises(
        ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain containers but JSON, such as gRefCOCO"
    ):
        load_refs(path)


def test_second_pickle_behind_the_first_is_not_overlooked(tmp_path):
    assert load_refs(write(tmp_path / 'refs.p', pickle.dumps(REFS) + b'\n')) == REFS
    with pytest.raises(ValueError, match=r"refs\.p' goes on behind the end of its pickle; write all refs as one list"):
        load_refs(write(tmp_path / 'refs.p', pickle.dumps(REFS) + pickle.dumps(REFS)))


@pytest.mark.parametrize('kind', ['fifo', 'folder'])
def test_only_regular_files_are_opened(tmp_path, kind):
    path = tmp_path / 'refs(unc).p'
    os.mkfifo(path) if kind == 'fifo' else path.mkdir()
    with pytest.raises(
        ValueError, match=r"split_file '.*refs\(unc\)\.p' is no regular file \(a folder, FIFO or device\)"
    ):
        load_refs(str(path))


# Each states a length or an index of 2**31 to 2**56.
@pytest.mark.parametrize(
    'content',
    [
        b'\x80\x02]r\xff\xff\xff\x7f.',  # LONG_BINPUT
        b']p2147483647\n.',  # PUT
        b'X\xff\xff\xff\x7fa.',  # BINUNICODE
        b'\x8d' + b'\xff' * 7 + b'\x00a.',  # BINUNICODE8
        b'B\xff\xff\xff\x7fa.',  # BINBYTES
        b'\x8e' + b'\xff' * 7 + b'\x00a.',  # BINBYTES8
        b'\x96' + b'\xff\xff\xff\x7f' + b'\x00' * 4 + b'a.',  # BYTEARRAY8
        b'\x80\x04\x95' + b'\xff' * 7 + b'\x00].',  # FRAME
        b'\x8b\xff\xff\xff\x7fa.',  # LONG4
        b'T\xff\xff\xff\x7fa.',  # BINSTRING
    ],
)
def test_memory_follows_the_file_and_not_what_it_states(tmp_path, content):
    path = write(tmp_path / 'refs(unc).p', content)
    tracemalloc.start()

    try:
        assert load_refs(path) == []
    except ValueError as error:
        assert 'is not a pickle of plain containers' in str(error)  # noqa: PT017 (some of them are an empty list)

    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize('field', ['ref_id', 'ann_id', 'split', 'sentences', 'extra'])
@pytest.mark.parametrize('protocol', [0, 2])
def test_integers_without_end_are_refused(tmp_path, protocol, field):
    def refs(value):
        return write(tmp_path / 'refs(unc).p', pickle.dumps([{**REFS[0], field: value}], protocol))

    with pytest.raises(ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain .* integer of more than 64 bits"):
        load_refs(refs(2**2000))
    if field.endswith('_id'):
        assert load_refs(refs(-(2**63)))[0][field] == -(2**63)


@pytest.mark.parametrize('code', [b'I', b'L'])
def test_integers_in_hexadecimal_are_limited_too(tmp_path, code):
    path = write(tmp_path / 'refs(unc).p', b']' + code + b'0x' + b'f' * 5000 + b'\na.')
    with pytest.raises(ValueError, match='an integer of more than 64 bits'):
        load_refs(path)


@pytest.mark.parametrize('end', [b'K\x01s.', b'K\x01u.', b'\x90.'])
def test_nested_tuples_are_not_hashed(tmp_path, end):
    # Python would end in a segmentation fault. A dict by item, a dict of items, a set.
    start = {b's': b'}', b'u': b'}(', b'\x90': b'\x8f('}[end[-2:-1]]
    path = write(tmp_path / 'refs(unc).p', start + b')' + b'\x85' * 300_000 + end)

    with pytest.raises(ValueError, match=r"refs\(unc\)\.p' is not a pickle of plain containers"):
        load_refs(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'ann_id': [7, 8]},
            'has the list [7, 8] for ann_id, which is the form of gRefCOCO; RefCocoDataset reads RefCOCO',
        ),
        ({'ann_id': {}}, 'has ann_id {}, expected an integer or a string'),
        ({'ann_id': 7.0}, 'has ann_id 7.0, expected an integer or a string'),
        ({'image_id': True}, 'has image_id True, expected an integer or a string'),
        ({'ref_id': None}, 'has ref_id None, expected an integer or a string'),
        ({'split': None}, "has split None, expected a string such as 'train'"),
        ({'sentences': 'cat'}, "has sentences 'cat', expected a list of dicts"),
    ],
)
def test_each_field_of_a_ref_is_checked(tmp_path, changes, message):
    path = write(tmp_path / 'refs(unc).p', pickle.dumps([REFS[0], {**REFS[1], **changes}]))
    with pytest.raises(ValueError, match=re.escape(f'entry 1 of split_file {path!r} {message}')):
        load_refs(path)


@pytest.mark.parametrize(('other', 'ids'), [(0, '0'), ('0', "0 and '0'")])
def test_repeated_ref_ids_are_refused(tmp_path, other, ids):
    path = write(tmp_path / 'refs(unc).p', pickle.dumps([REFS[0], {**REFS[1], 'ref_id': other, 'image_id': 5}]))
    with pytest.raises(
        ValueError,
        match=re.escape(
            f'split_file {path!r} has ref_id {ids} twice: entry 0 (image_id 1) and entry 1 (image_id 5); give'
        ),
    ):
        load_refs(path)


@pytest.mark.parametrize(
    ('sentence', 'message'),
    [
        ('cat', " is 'cat', expected a dict"),
        ({'sent': 'cat'}, " lacks ['raw']; add what is missing, or get the original file again"),
        ({'raw': None}, ", key 'raw': phrase None is of type NoneType, expected a string"),
        ({'raw': b'cat'}, ", key 'raw': phrase b'cat' is of type bytes, expected a string"),
        ({'raw': 'a\ud800'}, ", key 'raw': phrase 'a\\ud800' holds the lone surrogate '\\ud800'"),
        ({'raw': 'cat', 'kind': 3}, ' has kind 3, expected a string'),
        (
            {'raw': ' . '},
            ", key 'raw': phrase ' . ' has no letter or digit; fill it or leave it out (skip_wordless=True",
        ),
    ],
)
def test_each_field_of_a_sentence_is_checked(sentence, message):
    ref = {**REFS[0], 'sentences': [{'raw': 'a'}, sentence]}
    with pytest.raises(ValueError, match=re.escape(f"sentence 1 of ref 0 of split_file 'refs.p'{message}")):
        check_sentences(ref, path='refs.p', skip_wordless=False)


def test_wordless_sentences_alone_may_be_skipped():
    ref = {**REFS[0], 'sentences': [{'raw': '?'}, {'raw': 'a?', 'kind': None}, {'raw': ''}]}
    assert check_sentences(ref, path='refs.p', skip_wordless=True) == [{'raw': 'a?', 'kind': None}]
    with pytest.raises(ValueError, match='phrase None is of type'):
        check_sentences({**ref, 'sentences': [{'raw': None}]}, path='refs.p', skip_wordless=True)
