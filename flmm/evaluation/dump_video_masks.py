"""Write predicted masks of videos as the servers of challenges take them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from PIL import Image

from flmm.atomic_write import open_atomic
from flmm.clip_sample import ClipSample
from flmm.evaluation.grounded_frames import clips_alone, grounded_frames
from flmm.files import prepare_output
from flmm.plain_text import file_name
from flmm.registry import METRICS


@METRICS.register_module()
class DumpVideoMasks(BaseMetric):
    """Writes the refined masks, and computes no metric, so that it also serves for splits without truth.

    Of each frame ``<out_dir>/<test set>/Annotations/<video>/<expression>/<frame>.png``, a picture of one channel, 255
    in the mask and 0 elsewhere. Ref-YouTube-VOS's server takes the folder Annotations, MeViS's the folders in it.

    A folder of masks is of one run: a server would take what an earlier one left beside them, such as masks of
    expressions that are no longer asked for. The validations of one training replace each other's, resumed or not.

    Args:
        out_dir: folder of all test sets, without masks of another run. It is made at once.
        resume: whether masks in ``out_dir`` are this run's own, as GroundingRunner says to the validations of a
            training that it resumes.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.

    Raises:
        ValueError: nothing can be written there, or a test set has files under Annotations
            and the run does not go on.
    """

    def __init__(self, *, out_dir: str, resume: bool = False, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.out_dir, self.resume = Path(out_dir), resume
        from flmm.engine.main_process import from_main_process  # here, since flmm.engine imports this package

        from_main_process(self._prepare)  # once, before any process writes

    def process(self, data_batch: dict, data_samples: Sequence[ClipSample]) -> None:
        """Write the masks of a batch.

        Raises:
            ValueError: a sample of an image, a clip without predictions, or an expression without ``expression_id``.
        """
        for clip in clips_alone(data_samples, metric='DumpVideoMasks'):
            folder = self.out_dir / file_name(clip.dataset_name) / 'Annotations' / os.path.basename(clip.video_path)
            for index, info in enumerate(clip.phrase_infos):
                if info.expression_id is None:
                    raise ValueError(
                        f'phrase {clip.phrases[index]!r} of video {clip.video_path!r} has no expression_id, by which '
                        'its folder would be named; read the video with RefVideoDataset'
                    )
                (folder / info.expression_id).mkdir(parents=True, exist_ok=True)
            for name, sample in zip(clip.frame_names, grounded_frames(clip), strict=True):
                for which, masks in sample.mask_chunks('refined'):
                    pictures = masks.cpu().numpy().astype(np.uint8) * 255
                    for info, picture in zip(clip.phrase_infos[which], pictures, strict=True):
                        with open_atomic(folder / info.expression_id / f'{name}.png') as file:
                            Image.fromarray(picture).save(file, format='PNG')
            self.results.append(None)

    def compute_metrics(self, results: list[None]) -> dict:
        """Return nothing: the files are written."""
        return {}

    def _prepare(self) -> None:
        prepare_output(self.out_dir / 'Annotations', setting='out_dir')
        for folder in sorted(self.out_dir.glob('*/Annotations')):
            if not self.resume and any(folder.iterdir()):
                raise ValueError(
                    f'out_dir is {str(self.out_dir)!r}, and {str(folder)!r} has files already, which a server would '
                    'take for masks of this run; remove that folder, or choose another out_dir'
                )
