"""Read RefCOCO's ``refs(*).p`` pickles without running what they say."""

import pickle
from pathlib import Path
from typing import Any, NoReturn


class PlainUnpickler(pickle.Unpickler):
    """Reads pickles of numbers, strings and containers. A pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every global: rebuilding an object means running code of the pickle's choice."""
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def load_refs(path: str) -> list[dict[str, Any]]:
    """Read a ``refs(*).p`` file: a pickled list with one dict for each referred object.

    Raises:
        ValueError: the file is missing, is not a pickle, or holds anything but plain containers.
    """
    try:
        with Path(path).open('rb') as file:
            refs = PlainUnpickler(file, encoding='latin1').load()
    except FileNotFoundError as error:
        raise ValueError(f'split_file {path!r} does not exist; download the RefCOCO annotations there') from error
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError) as error:
        raise ValueError(
            f'split_file {path!r} is not a pickle of plain containers ({error}); get the original refs file again, '
            'and do not load this one with pickle.load, which would run its code'
        ) from error
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise ValueError(f'split_file {path!r} holds {type(refs).__name__}, expected a list of dicts, one for each ref')
    return refs
