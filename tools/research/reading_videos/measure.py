"""J and F of the test videos, in each way of reading them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.registry import DefaultScope

from flmm.atomic_write import write_json
from flmm.clip_sample import ClipSample
from flmm.config import read_config
from flmm.evaluation.video_metric import clip_scores
from flmm.models.build import build_model
from flmm.registry import DATASETS
from reading_videos.training import CONFIGS, LMM_OPTION

HELD = 'held'
"""A condition made of another: the masks of the first frame, held for all."""


def measure(
    lmm: str | Path,
    checkpoint: Path,
    file: Path,
    *,
    condition: str,
    read_as: str,
    split: str = 'test',
    held: bool = False,
) -> None:
    """Ground all expressions of a split, and write how each was scored.

    Args:
        lmm: folder of the LMM.
        checkpoint: the mask head, which was trained over it.
        file: gets a list of dicts with ``condition``, ``kind``, ``source``, ``J`` and ``F``, 0 to 1.
        condition: what the report calls it.
        read_as: 'video' or 'images'.
        split: 'val' or 'test'.
        held: also score the masks of the first frame, held for all of them.
    """
    config = read_config(CONFIGS[read_as], {LMM_OPTION: str(lmm)})
    with DefaultScope.overwrite_default_scope('flmm'):
        dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
        model = build_model(config, checkpoint=checkpoint).eval()
    found: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        (clip,) = model([dataset[index]], mode='predict')
        found += _scores(clip, condition=condition)
        if held:
            found += _scores(clip.with_outputs(grounded=clip.grounded[:1] * len(clip.frames)), condition=HELD)
    write_json(file, found)


def _scores(clip: ClipSample, *, condition: str) -> Iterator[dict[str, Any]]:
    for score in clip_scores(clip):
        yield {
            'condition': condition,
            'kind': score.info.kind,
            'source': score.source,
            'J': score.region,
            'F': score.contour,
        }
