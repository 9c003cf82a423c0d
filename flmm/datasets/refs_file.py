"""Read the refs of RefCOCO (pickled) and of gRefCOCO (JSON, or pickled)."""

import reprlib
from typing import Any

from flmm.datasets.annotation_file import Id, by_id, check_entry, is_id
from flmm.datasets.plain_pickle import load_plain_pickle
from flmm.json_files import parse_json, read_regular_file
from flmm.text import WordlessPhraseError, prepare_phrase

REF_KEYS = ('ref_id', 'image_id', 'split', 'sentences')
"""What each ref must have, beside ``ann_id``."""
PICKLE_STARTS = (b'\x80', b'(', b']')
"""How a pickled list begins: protocol 2 and later, 0, 1. No JSON does, in any encoding."""
NO_TARGET = -1
"""What gRefCOCO has for ann_id where a ref means nothing in the image."""


def load_refs(path: str) -> list[dict[str, Any]]:
    """Read a ``refs(*).p`` file: a pickled list with one dict for each referred object.

    Sentences are checked for those refs that are used: :func:`check_sentences`.

    Raises:
        ValueError: the file is missing, is not a pickle, holds anything but plain containers, has one ref_id twice, or
            a ref lacks one of ``REF_KEYS`` or ``ann_id``, has a value of another type there, or no sentence.
    """
    content = read_regular_file(path, setting='split_file')
    if _is_json(content):
        raise ValueError(
            f'split_file {path!r} is not a pickle of plain containers but JSON, such as gRefCOCO has; RefCocoDataset '
            "reads RefCOCO's refs(*).p, so name that or write the list with pickle.dump; GRefCocoDataset reads gRefCOCO"
        )
    refs = _list_of_dicts(_unpickle(content, where=f'split_file {path!r}'), path=path)
    for index, ref in enumerate(refs):
        where = f'entry {index} of split_file {path!r}'
        if isinstance(ref.get('ann_id'), (list, tuple)):
            raise ValueError(
                f'{where} has the list {reprlib.repr(ref["ann_id"])} for ann_id, which is the form of gRefCOCO; '
                'RefCocoDataset reads RefCOCO, where each ref has one annotation (GRefCocoDataset reads gRefCOCO)'
            )
        _check_ref(ref, keys=(*REF_KEYS, 'ann_id'), where=where)
    _check_ref_ids(refs, path=path)
    return refs


def load_grefs(path: str) -> list[dict[str, Any]]:
    """Read a ``grefs(*).json`` file, or its pickle: a list with one dict for each referring expression.

    Returns:
        The refs. ``ann_id`` is a list in all of them, which is empty where there is no target; the file has a list, a
        single id, or [-1].

    Raises:
        ValueError: A fault that :func:`load_refs` refuses; -1 stands beside other ids; or ``no_target`` says otherwise
            than ``ann_id``.
    """
    content = read_regular_file(path, setting='split_file')
    read = _unpickle if content.startswith(PICKLE_STARTS) else parse_json
    refs = read(content, where=f'split_file {path!r}')
    found = []
    for index, ref in enumerate(_list_of_dicts(refs, path=path)):
        where = f'entry {index} of split_file {path!r}'
        _check_ref(ref, keys=REF_KEYS, where=where)
        found.append({**ref, 'ann_id': _target_ids(ref, where=where)})
    _check_ref_ids(found, path=path)
    return found


def _is_json(content: bytes) -> bool:
    return content.removeprefix(b'\xef\xbb\xbf').lstrip()[:1] in (b'[', b'{')  # no pickle begins so


def _unpickle(content: bytes, *, where: str) -> Any:
    try:
        return load_plain_pickle(content)
    except ValueError as error:
        raise ValueError(f'{where} {error}') from error


def _list_of_dicts(refs: Any, *, path: str) -> list[dict[str, Any]]:
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise ValueError(f'split_file {path!r} holds {type(refs).__name__}, expected a list of dicts, one for each ref')
    return refs


def _check_ref(ref: dict[str, Any], *, keys: tuple[str, ...], where: str) -> None:
    check_entry(ref, keys=keys, where=where)
    if not isinstance(ref['split'], str):
        raise ValueError(f"{where} has split {reprlib.repr(ref['split'])}, expected a string such as 'train'")
    if not isinstance(ref['sentences'], (list, tuple)):
        raise ValueError(f'{where} has sentences {reprlib.repr(ref["sentences"])}, expected a list of dicts')
    if not ref['sentences']:
        raise ValueError(
            f'ref {ref["ref_id"]} of {where.partition(" of ")[2]} has no sentence; leave it out of the file'
        )


def _check_ref_ids(refs: list[dict[str, Any]], *, path: str) -> None:
    by_id(refs, key='ref_id', where=f'split_file {path!r}', describe=lambda ref: f'image_id {ref["image_id"]!r}')


def _target_ids(ref: dict[str, Any], *, where: str) -> list[Id]:
    if 'ann_id' not in ref:
        raise ValueError(f"{where} lacks ['ann_id']; add it, or get the original file again")
    given = ref['ann_id']
    ids = list(given) if isinstance(given, (list, tuple)) else [given]
    if not ids or not all(map(is_id, ids)):
        raise ValueError(
            f'{where} has ann_id {reprlib.repr(given)}, expected a list of integers or strings, [-1] for no target'
        )
    is_absent = [str(each) == str(NO_TARGET) for each in ids]
    if any(is_absent) and not all(is_absent):
        raise ValueError(
            f'{where} has ann_id {reprlib.repr(given)}, of which {NO_TARGET} says that there is no target; take either '
            'it or the others away'
        )
    no_target = ref.get('no_target', any(is_absent))
    if not isinstance(no_target, bool):
        raise ValueError(f'{where} has no_target {reprlib.repr(no_target)}, expected true or false')
    if no_target != any(is_absent):
        raise ValueError(
            f'{where} has no_target {no_target}, but ann_id {reprlib.repr(given)}; [-1] and true belong together'
        )
    return [] if no_target else ids


def check_sentences(ref: dict[str, Any], *, path: str, skip_wordless: bool) -> list[dict[str, Any]]:
    """Check what is read of a ref's sentences; return those that can be phrases.

    Args:
        ref: Of :func:`load_refs`.
        path: Of its file, for messages.
        skip_wordless: True leaves out sentences without letter or digit. False makes them an error.

    Raises:
        ValueError: a sentence is no dict, its ``raw`` is missing or no phrase (:func:`flmm.text.prepare_phrase`), or
            its ``kind`` is neither absent, None nor a string.
    """
    kept = []
    for index, sentence in enumerate(ref['sentences']):
        where = f'sentence {index} of ref {ref["ref_id"]!r} of split_file {path!r}'
        check_entry(sentence, keys=['raw'], where=where)
        kind = sentence.get('kind')
        if kind is not None and not isinstance(kind, str):
            raise ValueError(f'{where} has kind {reprlib.repr(kind)}, expected a string')
        try:
            prepare_phrase(sentence['raw'], lowercase=False)
        except WordlessPhraseError as error:
            if not skip_wordless:
                raise ValueError(f"{where}, key 'raw': {error} (skip_wordless=True leaves all such out)") from error
            continue
        except ValueError as error:
            raise ValueError(f"{where}, key 'raw': {error}") from error
        kept.append(sentence)
    return kept
