"""Expressions about videos: Ref-YouTube-VOS, Ref-DAVIS and MeViS, and shapes in motion."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from flmm.clip_sample import VOID
from flmm.datasets.annotation_file import Id
from flmm.datasets.dataset_settings import check_dataset_settings
from flmm.datasets.expressions_file import AnnotatedVideo, VideoExpression, read_expressions
from flmm.datasets.mask_tracks import MaskTracks
from flmm.files import path_below
from flmm.phrase_info import PhraseInfo
from flmm.registry import DATASETS


@DATASETS.register_module()
class RefVideoDataset(BaseDataset):
    """A split of videos with expressions, all of whose frames count. docs/video_data.md shows the layouts.

    Truth lies in palette PNGs, in which an object is its ``obj_id`` (Ref-YouTube-VOS, Ref-DAVIS as ReferFormer writes
    it), in a file of RLEs, in which it is its ``anno_id`` (MeViS), or is not known, as in public validation splits.

    The pipeline gets of each item: ``video_path``, ``frame_paths``, ``frame_names``, ``fps``, ``dataset_name``,
    ``sample_idx``, ``text`` and ``phrase_infos`` of M phrases, and ``masks``, None or M lists with the objects that
    each means, which :class:`flmm.datasets.LoadVideoMasks` draws; with ``has_void`` also ``palettes``, F files.

    Args:
        name: names the dataset in results, such as 'mevis_valid_u'.
        ann_file: meta_expressions.json.
        data_prefix: ``img_path``, the folder of folders of JPEG frames; and ``mask_path``, that of palette PNGs, where
            there are any.
        mask_file: MeViS's mask_dict.json, where there is one.
        fps: how many of the frames there are in a second, where ``ann_file`` does not say: it is 6 in Ref-YouTube-VOS,
            which keeps every fifth of 30, and 24 in DAVIS.
        group_by_video: False makes an item of each expression. True makes one of each video, with all its expressions:
            its frames are read once for all of them, and their masks are in memory together.
        max_expressions: with ``group_by_video``, the most expressions of an item: a video that has more becomes several
            items. None: all.
        has_void: whether index 255 of the palettes marks pixels that no metric counts, as in DAVIS. Clips then carry
            their palettes (``gt_objects`` of :class:`flmm.clip_sample.ClipSample`). Otherwise they are background.
        allow_outside: whether names of videos and frames may lead out of their folders.
        **kwargs: mmengine's BaseDataset's: data_root, pipeline, ... Nothing is filtered, skipped or fetched again, so
            filter_cfg, max_skipped and max_refetch are refused.

    Raises:
        ValueError: a setting is missing or has no effect, or a file is malformed; the message names file and key.

    >>> dict(
    ...     type='RefVideoDataset',
    ...     name='shapes_video_val',
    ...     data_root='data/shapes_video',
    ...     group_by_video=True,
    ...     ann_file='meta_expressions/val/meta_expressions.json',
    ...     data_prefix=dict(img_path='val/JPEGImages', mask_path='val/Annotations'),
    ...     pipeline=[...],
    ...     test_mode=True,
    ... )
    """

    def __init__(
        self,
        *,
        name: str,
        ann_file: str,
        data_prefix: dict[str, str],
        mask_file: str = '',
        fps: float | None = None,
        group_by_video: bool = False,
        max_expressions: int | None = None,
        has_void: bool = False,
        allow_outside: bool = False,
        **kwargs: Any,
    ) -> None:
        check_dataset_settings(
            {**kwargs, 'data_prefix': data_prefix},
            name=name,
            folders=('img_path',),
            without_effect=('filter_cfg', 'max_refetch', 'max_skipped'),
        )
        if mask_file and 'mask_path' in data_prefix:
            raise ValueError(
                f"dataset {name!r} has mask_file {mask_file!r} and data_prefix['mask_path'] "
                f'{data_prefix["mask_path"]!r}; name the one that holds the truth'
            )
        if has_void and 'mask_path' not in data_prefix:
            raise ValueError(
                f"dataset {name!r} has has_void=True, and data_prefix lacks 'mask_path'; name the folder of palettes, "
                'or leave has_void out'
            )
        if fps is not None and not fps > 0:
            raise ValueError(f'fps is {fps!r}, expected how many frames there are in a second, above 0')
        if max_expressions is not None and (not group_by_video or max_expressions < 1):
            raise ValueError(
                f'max_expressions is {max_expressions!r} with group_by_video={group_by_video}; give a number of '
                'at least 1, with group_by_video=True'
            )
        self.name, self.fps, self.group_by_video = name, fps, group_by_video
        self.max_expressions, self.has_void = max_expressions, has_void
        self.allow_outside = allow_outside
        self.mask_file = mask_file and os.path.join(kwargs.get('data_root') or '', mask_file)
        self._tracks: MaskTracks | None = None
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    @property
    def names(self) -> list[str]:
        """The names by which results are reported: its own alone."""
        return [self.name]

    def load_data_list(self) -> list[dict]:
        """Read and check all annotations; return the items as mmengine keeps them."""
        videos = [video for video in read_expressions(self.ann_file) if video.expressions]
        if not videos:
            raise ValueError(f'ann_file {self.ann_file!r} has no expression for any video; get the original file again')
        for video in videos:
            self._check(video)
        if self.mask_file:
            self._tracks = self._read_tracks(videos)
        return [
            self._item(video, video.expressions[start : start + step])
            for video in videos
            for step in [(self.max_expressions or len(video.expressions)) if self.group_by_video else 1]
            for start in range(0, len(video.expressions), step)
        ]

    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx`` as the pipeline gets it."""
        item = super().get_data_info(idx)
        video, names = item.pop('video'), item['frame_names']
        objects = item.pop('objects')
        item['video_path'] = self._path('img_path', video)
        item['frame_paths'] = [self._path('img_path', f'{video}/{name}.jpg') for name in names]
        item['dataset_name'] = self.name
        item['masks'] = None if objects is None else [[self._part(video, names, id_) for id_ in ids] for ids in objects]
        if self.has_void:
            item['palettes'] = self._palettes(video, names)
        return item

    def prepare_data(self, idx: int) -> Any:
        """Return what the pipeline makes of item ``idx``; a ValueError where that is None, instead of another item."""
        made = super().prepare_data(idx)
        if made is None:
            raise ValueError(
                f'item {idx} of {self.name!r} (video {self.get_data_info(idx)["video_path"]!r}) became None in the '
                'pipeline; leave out the transform that drops items, or the item itself'
            )
        return made

    def _check(self, video: AnnotatedVideo) -> None:
        where = f'video {video.name!r} of ann_file {self.ann_file!r}'
        if video.fps is None and self.fps is None:
            raise ValueError(f'{where} does not say how many frames there are in a second; set fps of {self.name!r}')
        try:
            for name in (video.name, *(f'{video.name}/{frame}.jpg' for frame in video.frame_names)):
                self._path('img_path', name)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error

    def _item(self, video: AnnotatedVideo, expressions: Sequence[VideoExpression]) -> dict[str, Any]:
        return {
            'video': video.name,
            'frame_names': video.frame_names,
            'fps': video.fps or self.fps,
            'text': [each.text for each in expressions],
            'phrase_infos': [PhraseInfo(kind=each.kind, expression_id=each.expression_id) for each in expressions],
            'objects': self._objects(expressions, where=f'video {video.name!r} of ann_file {self.ann_file!r}'),
        }

    def _objects(self, expressions: Sequence[VideoExpression], *, where: str) -> list[list[Id]] | None:
        """Return what each expression means, in the words of where the truth lies; None where there is no truth."""
        if not self.mask_file and 'mask_path' not in self.data_prefix:
            return None
        key = 'anno_id' if self.mask_file else 'obj_id'
        objects: list[list[Id]] = []
        for each in expressions:
            ids = each.mask_ids if self.mask_file else each.object_ids
            if ids is None:
                raise ValueError(
                    f'expression {each.expression_id!r} of {where} has no {key}, so its truth is not known; take '
                    "mask_file and data_prefix['mask_path'] out for splits without truth"
                )
            objects.append(ids if self.mask_file else [self._palette_index(id_, each, where=where) for id_ in ids])
        return objects

    def _read_tracks(self, videos: Sequence[AnnotatedVideo]) -> MaskTracks:
        meant = {
            str(id_): (len(video.frame_names), f'expression {each.expression_id!r} of video {video.name!r}')
            for video in videos
            for each in video.expressions
            for id_ in each.mask_ids or ()
        }
        return MaskTracks(self.mask_file, num_frames=meant)

    def _part(self, video: str, frame_names: Sequence[str], id_: Id) -> dict[str, Any]:
        whose = f'object {id_!r} of video {self._path("img_path", video)!r}'
        if self._tracks is not None:
            return {'whose': whose, 'rles': self._tracks[str(id_)]}
        return {'whose': whose, 'palettes': self._palettes(video, frame_names), 'id': id_}

    def _palettes(self, video: str, frame_names: Sequence[str]) -> list[str]:
        return [self._path('mask_path', f'{video}/{name}.png') for name in frame_names]

    def _palette_index(self, id_: Id, expression: VideoExpression, *, where: str) -> int:
        last, void = (VOID - 1, f' and {VOID} what has_void leaves out') if self.has_void else (255, '')
        if not str(id_).isdecimal() or not 0 < int(id_) <= last:
            raise ValueError(
                f'expression {expression.expression_id!r} of {where} has obj_id {id_!r}, expected an index of the '
                f'palette from 1 to {last}, as 0 is the background{void}'
            )
        return int(id_)

    def _path(self, folder: str, name: str) -> str:
        return path_below(self.data_prefix[folder], name, allow_outside=self.allow_outside)
