"""Write every prediction, and its truth, to files that tools/score.py and other tools can read."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.evaluator import BaseMetric

from flmm.atomic_write import open_atomic
from flmm.clip_sample import ClipSample
from flmm.evaluation.grounded_frames import pictures_of
from flmm.evaluation.grounding_metric import samples_by_item
from flmm.files import prepare_output
from flmm.geometry import nonempty
from flmm.phrase_scores import SOURCES
from flmm.registry import METRICS
from flmm.rle import encode_masks
from flmm.structures import GroundingSample

Line = dict[str, object]


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Writes files in the format of docs/evaluation.md, one JSON object for each phrase, and computes no metric.

    ``<name>.jsonl`` holds the predictions, ``<name>.truth.jsonl`` beside it the truths, as far as they are known. The
    lines have the order of the dataset, on any number of processes. Of a video, each frame is an image.

    Args:
        out_file_path: ends in '.jsonl'. Its folder is made at once.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.

    Raises:
        ValueError: the path does not end in '.jsonl', or no file can be written there.
    """

    def __init__(self, *, out_file_path: str, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        if not out_file_path.endswith('.jsonl'):
            raise ValueError(f"out_file_path is {out_file_path!r}; it must end in '.jsonl', as it is JSON lines")
        # here, since after the test the other metrics would be lost
        self.out_file_path = prepare_output(out_file_path, setting='out_file_path')
        self.truth_path = prepare_output(
            self.out_file_path.with_suffix('.truth.jsonl'), setting='the file of truths beside out_file_path'
        )

    def process(self, data_batch: dict, data_samples: Sequence[GroundingSample | ClipSample]) -> None:
        """Store the lines of a batch, predictions and truths, for each item of the dataset."""
        for samples in samples_by_item(pictures_of(data_samples)):
            predictions = [line for sample in samples for line in _predictions(sample)]
            truths = [line for sample in samples if sample.gt_masks is not None for line in _truths(sample)]
            self.results.append((_written(predictions), _written(truths)))

    def compute_metrics(self, results: list[tuple[str, str]]) -> dict:
        """Write the files; called on the main process alone."""
        _write((predictions for predictions, _ in results), self.out_file_path)
        self.truth_path.unlink(missing_ok=True)  # of an earlier test, where no truth is known now
        if any(truths for _, truths in results):
            _write((truths for _, truths in results), self.truth_path)
        return {}


def _predictions(sample: GroundingSample) -> list[Line]:
    lines = _names(sample)
    for source in reversed(SOURCES):
        verdict = sample.verdict(source)
        for which, masks in sample.mask_chunks(source):
            absent = ~(nonempty(masks) if verdict is None else verdict[which])  # [m]
            encoded = encode_masks(masks.cpu().numpy())
            for line, mask, is_absent in zip(lines[which], encoded, absent.tolist(), strict=True):
                line[source] = None if is_absent else mask
    if sample.existence is not None:
        for line, score, exists in zip(lines, sample.existence.tolist(), sample.exists.tolist(), strict=True):
            line.update(score=score, exists=exists)
    if sample.tracked:  # by then ``exists`` is the tracker's verdict on refined masks alone
        verdict = [None] * len(lines) if sample.coarse_exists is None else sample.coarse_exists.tolist()
        for line, exists in zip(lines, verdict, strict=True):
            line['coarse_exists'] = exists
    return _with_infos(lines, sample)


def _truths(sample: GroundingSample) -> list[Line]:
    lines = _names(sample)
    for line, mask, has_target in zip(
        lines, encode_masks(sample.gt_masks.cpu().numpy()), sample.has_target.tolist(), strict=True
    ):
        line['mask'] = mask if has_target else None
    if sample.ignore_masks is not None:
        ignored = nonempty(sample.ignore_masks).tolist()
        for line, mask, is_any in zip(lines, encode_masks(sample.ignore_masks.cpu().numpy()), ignored, strict=True):
            if is_any:
                line['ignore'] = mask
    return _with_infos(lines, sample)


def _names(sample: GroundingSample) -> list[Line]:
    return [
        {'test_set': sample.dataset_name, 'image': sample.image_path, 'phrase': phrase} for phrase in sample.phrases
    ]


def _with_infos(lines: list[Line], sample: GroundingSample) -> list[Line]:
    for line, info in zip(lines, sample.phrase_infos, strict=True):
        line.update((key, value) for key, value in vars(info).items() if value is not None)
    return lines


def _written(lines: Sequence[Line]) -> str:
    """Write lines as they are in the file: kept till the end of the test, that takes less memory than dicts."""
    return ''.join(f'{json.dumps(line, allow_nan=False)}\n' for line in lines)


def _write(texts: Iterable[str], path: Path) -> None:
    with open_atomic(path) as file:
        file.writelines(text.encode() for text in texts)
