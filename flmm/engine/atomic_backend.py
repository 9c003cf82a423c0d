"""mmengine's backend for local files, by which a checkpoint is there as a whole or not at all."""

import os

from mmengine.fileio import LocalBackend, register_backend

from flmm.atomic_write import open_atomic


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Writes by :func:`flmm.atomic_write.open_atomic`; ``backend_args=dict(backend='atomic')`` chooses it."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write bytes, making the folder.

        Raises:
            OSError: it cannot be written; what was there before is untouched.
        """
        os.makedirs(os.path.dirname(os.path.abspath(filepath)), exist_ok=True)
        with open_atomic(filepath) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: str | os.PathLike, encoding: str = 'utf-8') -> None:
        """Write a text as :meth:`put` writes bytes."""
        self.put(obj.encode(encoding), filepath)
