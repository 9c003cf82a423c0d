"""What one process decides for all."""

from collections.abc import Callable
from typing import TypeVar

from mmengine.dist import broadcast_object_list, is_main_process

T = TypeVar('T')


def from_main_process(call: Callable[[], T]) -> T:
    """Call a function in the main process alone, and return in every process what it returns there.

    Raises:
        ValueError: in every process, where the function raises a ValueError or an OSError.
    """
    outcome: list = [None, None]
    if is_main_process():
        try:
            outcome[0] = call()
        except (ValueError, OSError) as error:
            outcome[1] = str(error)
    broadcast_object_list(outcome)
    found, problem = outcome
    if problem is not None:
        raise ValueError(problem)
    return found
