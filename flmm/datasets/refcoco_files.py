"""RefCOCO's two files of annotations, each read once for all datasets that are made from them together."""

import functools

from flmm.datasets.instances_file import load_instances
from flmm.datasets.refs_file import load_refs


class RefCocoFiles:
    """Reads files of annotations, each when it is first asked for, and keeps what they say.

    What it keeps takes a gigabyte for RefCOCO, and must not be changed. ``refs(path)`` is
    :func:`flmm.datasets.refs_file.load_refs`, ``instances(path)`` is
    :func:`flmm.datasets.instances_file.load_instances`.
    """

    def __init__(self) -> None:
        self.refs = functools.cache(load_refs)
        self.instances = functools.cache(load_instances)
