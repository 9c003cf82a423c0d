"""The pictures that features were made from: are they the same still?"""

from collections.abc import Mapping
from pathlib import Path

from flmm.features.file_state import FileState, compare_files

PICTURES = ('stat', 'content', 'unchecked')
"""How pictures are compared."""
NUM_NAMED = 3
"""How many pictures a message names."""


def check_unchanged(states: Mapping[str, FileState], *, backend_args: dict | None = None) -> None:
    """Compare pictures, once their features are made, with what they were before; arguments as :func:`check_pictures`.

    Raises:
        ValueError: pictures have changed meanwhile, or are gone; the message names the first.
    """
    found = compare_files(states.items(), backend_args=backend_args)
    if found.changed or found.absent:
        raise ValueError(
            f'while features were made of them, {_listed(found.changed | found.absent)}; run '
            'tools/cache_features.py again, it goes on where it stopped'
        )


def check_pictures(
    states: Mapping[str, FileState], *, folder: Path, content: bool, backend_args: dict | None = None
) -> None:
    """Compare pictures with those that features were made from.

    Args:
        states: what the pictures were, by the paths at which they are now.
        folder: where the features are.
        content: True reads every picture; False those only whose time stamps differ.
        backend_args: file backend arguments of mmengine.

    Raises:
        ValueError: pictures have changed, or are not there; the message counts them and names the first.
    """
    found = compare_files(states.items(), content=content, backend_args=backend_args)
    if found.changed:
        raise ValueError(
            f'{len(found.changed)} of {len(states)} pictures are not those that the features in {str(folder)!r} were '
            f'made from: {_listed(found.changed)}; make the features again in another folder'
        )
    if found.absent:
        raise ValueError(
            f'{len(found.absent)} of {len(states)} pictures that the features in {str(folder)!r} were made from cannot '
            f"be compared: {_listed(found.absent)}; check data_root, or set pictures='unchecked' in CachedFeatures to "
            'go on without comparing them'
        )


def _listed(problems: Mapping[str, str]) -> str:
    """Name the first few of what has gone wrong, by path, and count the others."""
    named = ', '.join(f'{path!r} {problem}' for path, problem in list(problems.items())[:NUM_NAMED])
    more = len(problems) - NUM_NAMED
    return f'{named} and {more} more' if more > 0 else named
