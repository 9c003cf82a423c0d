"""Read RefCOCO's ``refs(*).p`` pickles without running what they say."""

import pickle
from pathlib import Path
from typing import Any, NoReturn

REF_KEYS = frozenset({'ref_id', 'ann_id', 'image_id', 'split', 'sentences'})
"""What each ref must have."""

# All that pickle raises on random bytes; its documentation leaves the list open.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    LookupError,
    MemoryError,  # a wrong length is allocated before it is read
    OverflowError,
    TypeError,
    ValueError,
)


class PlainUnpickler(pickle.Unpickler):
    """Reads pickles of numbers, strings and containers. A pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every global: rebuilding an object means running code of the pickle's choice."""
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def load_refs(path: str) -> list[dict[str, Any]]:
    """Read a ``refs(*).p`` file: a pickled list with one dict for each referred object.

    Raises:
        ValueError: the file is missing, is not a pickle, holds anything but plain containers, or a ref lacks one of
            ``REF_KEYS`` or has no sentence.
    """
    try:
        with Path(path).open('rb') as file:
            refs = PlainUnpickler(file, encoding='latin1').load()
    except FileNotFoundError as error:
        raise ValueError(f'split_file {path!r} does not exist; download the RefCOCO annotations there') from error
    except UNPICKLING_ERRORS as error:
        raise ValueError(
            f'split_file {path!r} is not a pickle of plain containers ({error!r}); get the original refs file again, '
            'and do not load this one with pickle.load, which would run its code'
        ) from error
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise ValueError(f'split_file {path!r} holds {type(refs).__name__}, expected a list of dicts, one for each ref')
    for index, ref in enumerate(refs):
        missing = sorted(REF_KEYS - ref.keys())
        if missing:
            raise ValueError(f'entry {index} of split_file {path!r} lacks {missing}; get the original refs file again')
        if not ref['sentences']:
            raise ValueError(f'ref {ref["ref_id"]} of split_file {path!r} has no sentence; leave it out of the file')
    return refs
