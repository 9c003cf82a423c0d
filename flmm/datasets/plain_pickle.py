"""Read pickles of plain containers without running what they say."""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

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


def load_plain_pickle(content: bytes) -> Any:
    """Unpickle numbers, strings, lists, tuples and dicts. Byte strings of Python 2 become text (latin-1).

    Raises:
        ValueError: it is no such pickle, or goes on behind its end. The message is a predicate, for the caller to say
            whose.
    """
    file = io.BytesIO(content)
    try:
        found = PlainUnpickler(file, encoding='latin1').load()
    except UNPICKLING_ERRORS as error:
        raise ValueError(
            f'is not a pickle of plain containers ({error!r}); get the original refs file again, and do not load this '
            'one with pickle.load, which would run its code'
        ) from error
    if file.read().strip():
        raise ValueError('goes on behind the end of its pickle; write all refs as one list')
    return found
