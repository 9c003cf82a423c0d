"""Pictures of test predictions, drawn when the results are written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from flmm.plain_text import file_name
from flmm.registry import HOOKS
from flmm.structures import GroundingSample
from flmm.visualization import PhrasePage, draw_page, sample_page, save_figure


@HOOKS.register_module()
class VisualizationHook(Hook):
    """Writes a picture for each tested sample: image, attention, coarse, refined and truth of its phrases.

    Files are ``<out_dir>/<dataset_name>/<image name>_<item>_<number>.png``, with what no file name can hold written as
    in a URL. While testing, only what a picture shows is kept, in small (about 1 MB for a phrase); all is drawn in
    ``after_test``, when metrics and predictions are known and written. A sample that cannot be drawn stops neither the
    test nor the other pictures.

    Args:
        out_dir: folder, made if needed.
        max_samples: at most so many pictures for each dataset.

    Raises:
        ValueError: after all others are drawn: some samples could not be. The log names them, and says why.
    """

    priority = 'LOWEST'  # other hooks write results in after_test, too

    def __init__(self, *, out_dir: str, max_samples: int = 50) -> None:
        self.out_dir = Path(out_dir)
        self.max_samples = max_samples
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[str, int] = {}  # dataset -> number of its next picture
        self._pages: dict[Path, tuple[str, PhrasePage]] = {}  # file -> path of the image, what to draw
        self._failed: list[str] = []

    def before_test(self, runner: Runner) -> None:
        """Forget what an earlier test left."""
        self._forget()

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[GroundingSample]
    ) -> None:
        """Keep of the samples of a batch what their pictures show."""
        rank, world_size = get_dist_info()
        for sample in outputs:
            number = self._numbers.get(sample.dataset_name, rank)  # of each process its own: files have one writer
            if number < self.max_samples:
                self._numbers[sample.dataset_name] = number + world_size
                name = f'{file_name(Path(sample.image_path).stem)}_{sample.sample_idx}_{number}.png'
                path = self.out_dir / file_name(sample.dataset_name) / name
                with self._noting_failure(path, sample.image_path):
                    self._pages[path] = (sample.image_path, sample_page(sample))

    def after_test(self, runner: Runner) -> None:
        """Draw the pictures."""
        for path, (image_path, page) in self._pages.items():
            with self._noting_failure(path, image_path):
                save_figure(draw_page(page), path)
        failed, num_pictures = self._failed, len({*map(str, self._pages), *self._failed})
        self._forget()
        if failed:
            raise ValueError(
                f'{len(failed)} of {num_pictures} pictures could not be drawn (the log names them with the reasons), '
                f'the first is {failed[0]!r}; metrics and predictions are written all the same'
            )

    @contextmanager
    def _noting_failure(self, path: Path, image_path: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # of whatever kind: a picture must not cost the results, and after_test raises
            logger = MMLogger.get_current_instance()
            logger.exception(f'image {image_path!r}: its picture {str(path)!r} failed')
            self._failed.append(str(path))
