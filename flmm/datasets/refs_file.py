"""Read RefCOCO's ``refs(*).p`` pickles without running what they say."""

import io
import pickle
import reprlib
import struct
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from flmm.datasets.annotation_file import by_id, check_entry, read_regular_file
from flmm.text import WordlessPhraseError, prepare_phrase

REF_KEYS = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
"""What each ref must have."""

# All that pickle raises on random bytes; its documentation leaves the list open.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


def _refusing_tuple_keys(read: Callable, keys: slice) -> Callable:
    def checked(unpickler: pickle._Unpickler) -> None:
        if any(isinstance(key, tuple) for key in unpickler.stack[keys]):
            raise pickle.UnpicklingError('it has a tuple for a key')
        read(unpickler)

    return checked


def _refusing_long_integers(read: Callable) -> Callable:
    def checked(unpickler: pickle._Unpickler) -> None:
        read(unpickler)
        if unpickler.stack[-1].bit_length() > 64:
            raise pickle.UnpicklingError('it has an integer of more than 64 bits')

    return checked


# Not the unpickler in C: that one makes a list as long as the largest memo index and takes memory before it reads, so
# that nine bytes cost gigabytes. This one keeps a dict and cannot read more of a BytesIO than there is.
class PlainUnpickler(pickle._Unpickler):
    """Reads pickles of numbers, strings, lists, tuples and dicts. One that names any class or function is refused.

    It takes memory in proportion to the file, whatever lengths and indices the file states.
    """

    dispatch: ClassVar[dict] = {
        code: read
        for code, read in pickle._Unpickler.dispatch.items()
        # A bytearray is made at its stated length before it is read; for sets see below.
        if bytes([code]) not in (pickle.BYTEARRAY8, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET)
    }
    # Python hashes nested tuples without a limit of depth, which ends the process: none is a key, or in a set.
    dispatch[pickle.SETITEM[0]] = _refusing_tuple_keys(pickle._Unpickler.load_setitem, slice(-2, -1))
    dispatch[pickle.SETITEMS[0]] = _refusing_tuple_keys(pickle._Unpickler.load_setitems, slice(0, None, 2))
    dispatch[pickle.DICT[0]] = _refusing_tuple_keys(pickle._Unpickler.load_dict, slice(0, None, 2))

    # Python writes none of over 4300 digits into a message.
    for code in (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4):
        dispatch[code[0]] = _refusing_long_integers(dispatch[code[0]])

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every global: rebuilding an object means running code of the pickle's choice."""
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def load_refs(path: str) -> list[dict[str, Any]]:
    """Read a ``refs(*).p`` file: a pickled list with one dict for each referred object.

    Sentences are checked for those refs that are used: :func:`check_sentences`.

    Raises:
        ValueError: the file is missing, is not a pickle, holds anything but plain containers, has one ref_id twice, or
            a ref lacks one of ``REF_KEYS``, has a value of another type there, or no sentence.
    """
    content = read_regular_file(path, setting='split_file')
    if content.removeprefix(b'\xef\xbb\xbf').lstrip()[:1] in (b'[', b'{'):  # no pickle begins so
        raise ValueError(
            f'split_file {path!r} is not a pickle of plain containers but JSON, such as gRefCOCO has; RefCocoDataset '
            "reads RefCOCO's refs(*).p, so name that or write the list with pickle.dump"
        )
    file = io.BytesIO(content)
    try:
        refs = PlainUnpickler(file, encoding='latin1').load()
    except UNPICKLING_ERRORS as error:
        raise ValueError(
            f'split_file {path!r} is not a pickle of plain containers ({error!r}); get the original refs file again, '
            'and do not load this one with pickle.load, which would run its code'
        ) from error
    if file.read().strip():
        raise ValueError(f'split_file {path!r} goes on behind the end of its pickle; write all refs as one list')
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise ValueError(f'split_file {path!r} holds {type(refs).__name__}, expected a list of dicts, one for each ref')
    for index, ref in enumerate(refs):
        where = f'entry {index} of split_file {path!r}'
        if isinstance(ref.get('ann_id'), (list, tuple)):
            raise ValueError(
                f'{where} has the list {reprlib.repr(ref["ann_id"])} for ann_id, which is the form of gRefCOCO; '
                'RefCocoDataset reads RefCOCO, where each ref has one annotation'
            )
        check_entry(ref, keys=REF_KEYS, where=where)
        if not isinstance(ref['split'], str):
            raise ValueError(f"{where} has split {reprlib.repr(ref['split'])}, expected a string such as 'train'")
        if not isinstance(ref['sentences'], (list, tuple)):
            raise ValueError(f'{where} has sentences {reprlib.repr(ref["sentences"])}, expected a list of dicts')
        if not ref['sentences']:
            raise ValueError(f'ref {ref["ref_id"]} of split_file {path!r} has no sentence; leave it out of the file')
    by_id(refs, key='ref_id', where=f'split_file {path!r}', describe=lambda ref: f'image_id {ref["image_id"]!r}')
    return refs


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
