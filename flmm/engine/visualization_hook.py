"""Pictures of test predictions, written while testing."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.registry import HOOKS
from flmm.structures import GroundingSample
from flmm.visualization import draw_phrases, save_figure


@HOOKS.register_module()
class VisualizationHook(Hook):
    """Writes a picture for each tested sample: image, attention, coarse, refined and truth of its phrases.

    Files are ``<out_dir>/<dataset_name>/<image name>_<item>_<number>.png``.

    Args:
        out_dir: folder, made if needed.
        max_samples: at most so many pictures for each dataset.
    """

    def __init__(self, *, out_dir: str, max_samples: int = 50) -> None:
        self.out_dir = Path(out_dir)
        self.max_samples = max_samples
        self._written: dict[str, int] = {}

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[GroundingSample]
    ) -> None:
        """Draw the samples of a batch."""
        for sample in outputs:
            number = self._written.get(sample.dataset_name, 0)
            if number < self.max_samples:
                self._written[sample.dataset_name] = number + 1
                name = f'{Path(sample.image_path).stem}_{sample.sample_idx}_{number}.png'
                save_figure(draw_phrases([sample]), self.out_dir / sample.dataset_name / name)
