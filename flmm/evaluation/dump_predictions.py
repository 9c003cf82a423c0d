"""Write every prediction to a JSON file that other tools can read: phrases, IoUs and masks as COCO RLE."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.evaluator import BaseMetric

from flmm.evaluation.grounding_metric import samples_by_item
from flmm.phrase_scores import SOURCES, phrase_scores
from flmm.registry import METRICS
from flmm.rle import encode_masks
from flmm.structures import GroundingSample


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Writes ``out_file_path``: a list with one record for each phrase, and computes no metric.

    A record holds dataset_name, image_path, phrase, kind, and for coarse and refined each the IoU (0..1, null where the
    sample has no truth) and the mask (COCO RLE with ``counts`` as a string).

    Args:
        out_file_path: ends in '.json'. Its folder is made at once.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.

    Raises:
        ValueError: the path does not end in '.json', or no file can be written there.
    """

    def __init__(self, *, out_file_path: str, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        if not out_file_path.endswith('.json'):
            raise ValueError(f"out_file_path is {out_file_path!r}; it must end in '.json', as it is JSON")
        self.out_file_path = Path(out_file_path)
        folder = self.out_file_path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f'out_file_path is {out_file_path!r}, and its folder cannot be made ({error})') from error
        # here, since after the test the other metrics would be lost
        if self.out_file_path.is_dir() or not os.access(folder, os.W_OK):
            raise ValueError(f'out_file_path is {out_file_path!r}, where no file can be written; choose another')

    def process(self, data_batch: dict, data_samples: Sequence[GroundingSample]) -> None:
        """Store the records of a batch, one list for each item of the dataset."""
        for samples in samples_by_item(data_samples):
            self.results.append([record for sample in samples for record in self._records(sample)])

    @staticmethod
    def _records(sample: GroundingSample) -> list[dict]:
        kinds = [info.kind for info in sample.phrase_infos]
        records = [
            {'dataset_name': sample.dataset_name, 'image_path': sample.image_path, 'phrase': phrase, 'kind': kind}
            for phrase, kind in zip(sample.phrases, kinds, strict=True)
        ]
        known = sample.gt_masks is not None
        ious = (score.iou for score in phrase_scores(sample)) if known else itertools.repeat(None)
        for source, field in SOURCES.items():
            masks = encode_masks(getattr(sample, field).cpu().numpy())
            for record, mask in zip(records, masks, strict=True):
                record[source] = {'iou': next(ious), 'mask': mask}
        return records

    def compute_metrics(self, results: list[list[dict]]) -> dict:
        """Write the file; called on the main process alone."""
        records = list(itertools.chain.from_iterable(results))
        self.out_file_path.write_text(json.dumps(records, allow_nan=False), encoding='utf-8')
        return {}
