"""From an item of a dataset of videos to a ClipSample: which frames the LMM reads, and how.

Letters: F frames of the item, M masks (= phrases) of a frame, (IH, IW) a frame in px.
"""

import random
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from flmm.clip_sample import ClipSample
from flmm.datasets.transforms import PILLoadImageFromFile, RefCOCO2PNG, unlabelled_item
from flmm.registry import TRANSFORMS
from flmm.video import Clip, FrameSampling
from flmm.video.frame_sampling import FRAMES_MERGED

WAYS = ('video', 'images')


@TRANSFORMS.register_module()
class ClipToSample(BaseTransform):
    """Lay out what the LMM reads of the frames of a video, and phrases behind it.

    The item has ``video_path``; of its F frames ``frame_paths``, ``frame_names`` and ``fps``, their rate; ``text``, M
    phrases, and ``phrase_infos`` if there are any; ``gt_masks``, [F, M, IH, IW] bool or None;
    ``gt_objects``, [F, IH, IW] uint8, if there are any; and ``dataset_name`` and ``sample_idx``.

    Read as a video, the frames that ``sampling`` chooses are one sequence of video tokens, in which a phrase sees all
    moments; a frame that is not chosen is shown by the moment nearest to it. Read as images, each frame is by itself,
    and phrases know nothing of the others.

    Args:
        to_sample: the RefCOCO2PNG that lays out phrases, or its config, with ``concat=True``. Its image processor reads
            the frames.
        read_as: 'video' or 'images'.
        sampling: which frames are read as a video: what :class:`flmm.video.FrameSampling` takes, such as
            ``dict(max_frames=32)``.
        num_frames: so many frames get masks, drawn anew each time from Python's ``random``: for training. None: all.

    Raises:
        ValueError: a setting of another kind; or, naming the video, a frame that cannot be read, frames of different
            sizes, or phrases or frames that ``to_sample`` and its processor refuse.

    >>> transform = dict(type='ClipToSample', to_sample=dict(type='RefCOCO2PNG', ...), sampling=dict(max_frames=32))
    """

    def __init__(
        self,
        *,
        to_sample: RefCOCO2PNG | dict,
        read_as: str = 'video',
        sampling: dict[str, Any] | None = None,
        num_frames: int | None = None,
    ) -> None:
        if read_as not in WAYS:
            raise ValueError(f'read_as is {read_as!r}, expected one of {WAYS}')
        if sampling and read_as == 'images':
            raise ValueError(f"sampling is {sampling}, and read_as='images' reads every frame; leave one of them out")
        if num_frames is not None and (not isinstance(num_frames, int) or num_frames < 1):
            raise ValueError(f'num_frames is {num_frames!r}, expected an integer of at least 1, or None for all frames')
        self.to_sample: RefCOCO2PNG = TRANSFORMS.build(to_sample) if isinstance(to_sample, dict) else to_sample
        if not self.to_sample.concat:
            raise ValueError('to_sample has concat=False, which makes several samples of a frame; set it to True')
        self.read_as, self.num_frames = read_as, num_frames
        self.sampling = FrameSampling(**(sampling or {}))
        self.load_image = PILLoadImageFromFile()

    def transform(self, results: dict) -> Any:
        """Return the ClipSample of the item."""
        paths = results['frame_paths']
        numbers = list(range(len(paths)))
        if self.num_frames is not None:
            numbers = sorted(random.sample(numbers, min(self.num_frames, len(numbers))))
        frames: dict[int, Image.Image] = {}

        def frame(number: int) -> Image.Image:
            if number not in frames:
                frames[number] = self.load_image.transform({'img_path': paths[number]})['image']
            return frames[number]

        if self.read_as == 'images':
            sequences = [self._of_image(results, frame(number), paths[number]) for number in numbers]
            shown_in = [(place, 0) for place in range(len(numbers))]
        else:
            read = self._frames_read(results)
            sequences = [self._of_video(results, [frame(number) for number in read], read)]
            nearest = np.abs(np.array(numbers)[:, None] - np.array(read)).argmin(axis=1)  # the earlier of two
            shown_in = [(0, int(place) // FRAMES_MERGED) for place in nearest]
        truth, objects = results['gt_masks'], results.get('gt_objects')
        return ClipSample(
            sequences=sequences,
            frames=[frame(number) for number in numbers],
            shown_in=shown_in,
            frame_names=[results['frame_names'][number] for number in numbers],
            video_path=results['video_path'],
            gt_masks=None if truth is None else truth[numbers],
            gt_objects=None if objects is None else objects[numbers],
            dataset_name=results.get('dataset_name', 'dataset'),
            sample_idx=results.get('sample_idx', 0),
        )

    def _frames_read(self, results: dict) -> list[int]:
        try:
            return self.sampling.choose(len(results['frame_paths']), results['fps'])
        except ValueError as error:
            raise ValueError(f'video {results["video_path"]!r}: {error}') from error

    def _of_image(self, results: dict, frame: Image.Image, path: str) -> Any:
        return self.to_sample.transform(self._unlabelled(results, frame, path))

    def _of_video(self, results: dict, frames: list[Image.Image], indices: list[int]) -> Any:
        path = results['video_path']
        names, size = results['frame_names'], frames[0].size
        for number, each in zip(indices, frames, strict=True):
            if each.size != size:
                raise ValueError(
                    f'video {path!r}: frame {names[number]!r} has {each.width} x {each.height} px (width x height), '
                    f'{names[indices[0]]!r} has {size[0]} x {size[1]}; frames of one video are of one size'
                )
        clip = Clip(
            frames=torch.from_numpy(np.stack([np.asarray(frame) for frame in frames])).permute(0, 3, 1, 2),
            indices=tuple(indices),
            source_fps=results['fps'],
            num_source_frames=len(results['frame_paths']),
            name=path,
        )
        processed = self.to_sample.image_processor.preprocess_video(clip, prompt=self.to_sample.prompt)
        return self.to_sample.lay_out(self._unlabelled(results, frames[0], path), processed)

    def _unlabelled(self, results: dict, frame: Image.Image, path: str) -> dict:
        return unlabelled_item(frame, results['text'], path=path) | {'phrase_infos': results.get('phrase_infos')}
