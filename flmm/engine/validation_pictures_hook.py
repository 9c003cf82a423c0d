"""Pictures of the same few samples at each validation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.plain_text import file_name
from flmm.registry import HOOKS
from flmm.structures import GroundingSample
from flmm.visualization import PhrasePage, draw_page, figure_pixels, sample_page


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Gives every backend of the visualizer a picture of the first samples of each validation.

    A picture shows image, attention, coarse, refined and truth of the phrases. The backend of files writes
    ``<work_dir>/<time>/vis_data/vis_image/<dataset_name>/<image name>_<item>_<number>_<iteration>.png``. Loaders of
    validation do not shuffle, so samples are the same each time; of several processes, they are the first one's. What
    cannot be drawn is logged as an error, and training goes on.

    Args:
        num_samples: how many.

    Raises:
        ValueError: fewer than one.
    """

    def __init__(self, *, num_samples: int = 4) -> None:
        if num_samples < 1:
            raise ValueError(f'num_samples is {num_samples}, expected 1 or more; or leave ValidationPicturesHook out')
        self.num_samples = num_samples
        self._pages: dict[str, PhrasePage] = {}
        self._num_seen = 0

    def before_val(self, runner: Runner) -> None:
        """Forget the last validation."""
        self._pages, self._num_seen = {}, 0

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[GroundingSample]
    ) -> None:
        """Keep what the pictures show; later batches need the memory."""
        left = self.num_samples - self._num_seen if is_main_process() else 0
        for sample in outputs[:left]:
            stem = file_name(Path(sample.image_path).stem)
            name = f'{file_name(sample.dataset_name)}/{stem}_{sample.sample_idx}_{self._num_seen}'
            self._num_seen += 1
            with _logging_failure(runner, name):
                self._pages[name] = sample_page(sample)

    def after_val(self, runner: Runner) -> None:
        """Draw them."""
        for name, page in self._pages.items():
            with _logging_failure(runner, name):
                runner.visualizer.add_image(name, figure_pixels(draw_page(page)), step=runner.iter)


@contextmanager
def _logging_failure(runner: Runner, name: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # of whatever kind: a picture must not cost the training
        runner.logger.exception(f'picture {name!r} failed')
