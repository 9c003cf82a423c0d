"""load_refs: what it reads, and that it never runs a file's code."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from flmm.datasets.refs_file import load_refs

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

    with pytest.raises(ValueError, match=r"split_file '.*refs\(google\)\.p' does not exist; download the RefCOCO"):
        load_refs(path)
