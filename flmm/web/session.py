"""What the page keeps of its visitors: of each of the last few, the image that was read last."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from flmm.grounder import Grounding, ReadImage


@dataclass(kw_only=True)
class Visit:
    """A visitor's image, and what was found in it last.

    Args:
        read: the image, with what LMM and SAM keep of it: a Qwen2.5-VL-7B 57 KB for each of its tokens.
        found: the masks of the last phrases; None before the first.
    """

    read: ReadImage
    found: Grounding | None = None


class Visits:
    """The last visit of each of a few visitors. Several threads may use it.

    Args:
        most: so many visits are kept; the one that was used longest ago makes place for another.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def __contains__(self, visitor: str) -> bool:
        return visitor in self._visits

    def keep(self, visitor: str, visit: Visit) -> None:
        """Keep a visit in place of the visitor's last one."""
        with self._lock:
            self._visits[visitor] = visit
            self._visits.move_to_end(visitor)
            while len(self._visits) > self.most:
                self._visits.popitem(last=False)

    def of(self, visitor: str) -> Visit:
        """Return the visitor's visit.

        Raises:
            ValueError: there was none, or it had to make place.
        """
        with self._lock:
            if visitor not in self._visits:
                raise ValueError(
                    f'there is no image of yours here; upload one, or upload it again: the images of the last '
                    f'{self.most} visitors are kept'
                )
            self._visits.move_to_end(visitor)
            return self._visits[visitor]

    def drop(self, visitor: str) -> None:
        """Forget a visitor, known or not."""
        with self._lock:
            self._visits.pop(visitor, None)
