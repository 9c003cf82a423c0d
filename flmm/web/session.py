"""What the page keeps of its visitors: of each of the last few, the image that was read last."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flmm.grounder import Answer, Grounding, ReadImage


@dataclass(kw_only=True)
class Visit:
    """A visitor's image, what was found in it last, and what the LMM said of it last.

    Args:
        read: the image, with what LMM and SAM keep of it: a Qwen2.5-VL-7B 57 KB for each of its tokens.
        found: the masks of the last phrases; None before the first.
        answer: the last answer; None before the first.
        answer_key: names that answer, since a visitor may still see an earlier one.
    """

    read: ReadImage
    found: Grounding | None = None
    answer: Answer | None = None
    answer_key: str = ''


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

    @contextmanager
    def asked(self, visitor: str) -> Iterator[Visit]:
        """Yield the visitor's visit, for a question that takes a while.

        Raises:
            ValueError: there was none, or at the end another image has come in its place: nobody asked about that.
        """
        visit = self.of(visitor)
        yield visit
        if self._visits.get(visitor, visit) is not visit:
            raise ValueError('another image came while this one was asked about; ask again about that')

    def drop(self, visitor: str) -> None:
        """Forget a visitor, known or not."""
        with self._lock:
            self._visits.pop(visitor, None)
