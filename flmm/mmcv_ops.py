"""A placeholder for mmcv's compiled ops, so that mmdet imports beside mmcv-lite.

mmdet imports ``mmcv.ops`` when its datasets or losses are imported, and ``mmcv.ops`` looks up every compiled function
in ``mmcv._ext``, which mmcv-lite does not have. flmm calls none of them. The finder below answers for ``mmcv._ext``
only after every other finder has said no: where the compiled mmcv is installed, it is what gets imported.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

EXTENSION_NAME = 'mmcv._ext'


class MissingCompiledOpError(ImportError):
    """A compiled mmcv op was called, but only mmcv-lite is installed."""


class PlaceholderExtension(ModuleType):
    """Stands for ``mmcv._ext``: has every function by name; each raises :class:`MissingCompiledOpError` when called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith('__'):  # import machinery probes __path__, __file__ and the like
            raise AttributeError(name)

        def missing_op(*args: object, **kwargs: object) -> NoReturn:
            raise MissingCompiledOpError(
                f'mmcv.ops function {name!r} needs the compiled mmcv, but only mmcv-lite is installed. '
                'flmm itself never calls it; if your config does, install mmcv with its compiled ops '
                '(pip install -U openmim && mim install "mmcv>=2.0.0,<2.2.0") in place of mmcv-lite.'
            )

        missing_op.__name__ = name
        return missing_op


class PlaceholderFinder(MetaPathFinder, Loader):
    """Answers for ``mmcv._ext`` and for nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the placeholder's spec for ``mmcv._ext``, None for any other module."""
        return ModuleSpec(fullname, self) if fullname == EXTENSION_NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a new placeholder module."""
        return PlaceholderExtension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: attributes are made on access."""


def install_placeholder() -> None:
    """Append the finder to ``sys.meta_path`` (last, so that a real extension wins). Calling it again does nothing."""
    if not any(isinstance(finder, PlaceholderFinder) for finder in sys.meta_path):
        sys.meta_path.append(PlaceholderFinder())
