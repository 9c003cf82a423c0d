"""Which process does which shard: locks that end with the process that holds them, whatever ends it."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = '.annotate.lock'
WHOLE = 2**40
"""The byte that stands for the folder itself; byte n stands for shard n."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Claims:
    """Claims of this process on shards of an archive, as locks on single bytes of one empty file.

    Unlike files that say who works on what, POSIX locks are gone when their process is, so nothing has to be cleaned up
    or waited for; NFS has them, too. They are not needed for a right result, since a shard written twice is the same
    twice. On a file system without locks each process does its own share alone.

    Args:
        folder: the output.
        rank: number of this process, from 0.
        world_size: how many share the work.

    Attributes:
        has_locks: whether the file system has any, as far as is known.
    """

    def __init__(self, folder: Path, *, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        # Closing any descriptor of the file would end all locks of this process, so there is this one alone.
        self._descriptor = os.open(folder / LOCKS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.has_locks = True

    def order(self, count: int) -> list[int]:
        """Return the numbers of all shards, those of this process's own share (every ``world_size``-th) first."""
        return sorted(range(count), key=lambda number: ((number - self.rank) % self.world_size, number))

    def take(self, number: int) -> bool:
        """Claim a shard. False if another process has it, or where there are no locks and it is another's share."""
        if self.has_locks:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                self._without_locks(error)
        return number % self.world_size == self.rank

    def is_others(self, number: int) -> bool:
        """Say whether another process is at a shard now. Always False where there are no locks."""
        if not self.has_locks or not self.take(number):
            return self.has_locks
        self.release(number)
        return False

    def release(self, number: int) -> None:
        """Give a shard back, done or not."""
        if self.has_locks:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Hold the folder itself; others wait."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, WHOLE)
        except OSError as error:
            self._without_locks(error)
        try:
            yield
        finally:
            self.release(WHOLE)

    def close(self) -> None:
        """Give all back."""
        os.close(self._descriptor)

    def _without_locks(self, error: OSError) -> None:
        if error.errno not in NO_LOCKS:
            raise error
        self.has_locks = False
        logging.getLogger(__name__).warning(
            'the file system of the output has no locks (%s): process %d of %d does its own share alone',
            error, self.rank, self.world_size,
        )  # fmt: skip
