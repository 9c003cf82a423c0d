"""The visualizer of a run, whose backends can be chosen on the command line."""

from collections.abc import Sequence
from typing import Any

from mmengine.visualization import Visualizer as MMEngineVisualizer

from flmm.registry import VISUALIZERS


@VISUALIZERS.register_module()
class Visualizer(MMEngineVisualizer):
    """mmengine's, whose backends may be names, as ``--cfg-options`` can write them, beside configs.

    Args:
        name: under which mmengine keeps it.
        vis_backends: names such as 'LocalVisBackend', or configs where a backend takes settings.
        others: arguments of mmengine's Visualizer.
    """

    def __init__(
        self, name: str = 'visualizer', *, vis_backends: Sequence[str | dict[str, Any]] = (), **others: Any
    ) -> None:
        configs = [{'type': each} if isinstance(each, str) else each for each in vis_backends]
        super().__init__(name, vis_backends=configs, **others)
