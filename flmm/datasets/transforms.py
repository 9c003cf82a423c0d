"""From an item of the dataset to a GroundingSample: load the image, decode the masks, lay out the token sequence."""

import io
import reprlib
from typing import Any, BinaryIO

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations
from mmengine import fileio
from PIL import Image

from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper
from flmm.files import open_regular
from flmm.geometry import image_to_processed
from flmm.images import MAX_IMAGE_PIXELS, check_image_settings, read_rgb, to_rgb
from flmm.registry import TRANSFORMS
from flmm.structures import GroundingSample


@TRANSFORMS.register_module()
class PILLoadImageFromFile(BaseTransform):
    """Read ``img_path`` with Pillow into ``image`` (RGB) and set ``ori_shape``, ``img_shape``, ``height``, ``width``.

    Args:
        backend_args: mmengine's file backend arguments. None reads by the path's prefix (local, http, s3, ...).
        orientation: what to do with a picture that EXIF says to turn or mirror for display, since masks may have been
            drawn on either: 'refuse' it, 'apply' that, or 'ignore' it and take the pixels as stored.
        max_pixels: largest width times height; more are refused before they are decoded.

    Raises:
        ValueError: the file is missing, no regular file, truncated, no image of a known format, too large, or stored
            turned; the message names it.
    """

    def __init__(
        self, *, backend_args: dict | None = None, orientation: str = 'refuse', max_pixels: int = MAX_IMAGE_PIXELS
    ) -> None:
        check_image_settings(orientation=orientation, max_pixels=max_pixels)
        self.backend_args = backend_args
        self.orientation, self.max_pixels = orientation, max_pixels

    def transform(self, results: dict) -> dict:
        """Add the image to ``results``."""
        path = results['img_path']
        try:
            file = self._open(path)
        except FileNotFoundError as error:
            raise ValueError(f'image {path!r} does not exist; check data_root and data_prefix') from error
        except (OSError, ValueError) as error:
            raise ValueError(f'image {path!r} cannot be read ({error}); check data_root and data_prefix') from error
        with file:
            image = read_rgb(file, name=path, orientation=self.orientation, max_pixels=self.max_pixels)
        results['image'] = image
        results['height'], results['width'] = image.height, image.width
        results['img_shape'] = results['ori_shape'] = (image.height, image.width)
        return results

    def _open(self, path: str) -> BinaryIO:
        backend = fileio.get_file_backend(path, backend_args=self.backend_args, enable_singleton=True)
        return open_regular(path) if isinstance(backend, fileio.LocalBackend) else io.BytesIO(backend.get(path))


@TRANSFORMS.register_module()
class LoadMasks(LoadAnnotations):
    """mmdet's LoadAnnotations for masks alone, refusing what mmdet replaces by an empty mask or an assertion.

    Adds ``gt_masks``, mmdet's BitmapMasks of size (height, width), one for each of ``instances``. A mask is a list of
    polygons [x, y, x, y, ...], or an RLE whose counts are a list of runs or compressed (str, or bytes as pycocotools
    makes them).

    Raises:
        ValueError: a mask that is neither polygons nor RLE, is degenerate, or has another size than the image.
    """

    def __init__(self) -> None:
        super().__init__(with_bbox=False, with_label=False, with_seg=False, with_mask=True)

    def _load_masks(self, results: dict) -> None:
        for index, instance in enumerate(results['instances']):
            mask = instance['mask']
            problem = self._problem(mask, height=results['height'], width=results['width'])
            if problem:
                raise ValueError(
                    f'mask {index} (annotation {instance.get("ann_id")}) of image {results["img_path"]!r} {problem}; '
                    'check that the annotations belong to this image'
                )
            if isinstance(mask, dict) and isinstance(mask['counts'], bytes):  # mmdet would empty the mask
                instance['mask'] = {**mask, 'counts': mask['counts'].decode('latin1')}
        try:
            super()._load_masks(results)
        except ValueError as error:
            raise ValueError(f'a mask of image {results["img_path"]!r} cannot be decoded ({error})') from error

    @staticmethod
    def _problem(mask: Any, *, height: int, width: int) -> str | None:
        if isinstance(mask, dict):
            if 'size' not in mask or 'counts' not in mask:
                return f'is an RLE without size or counts (keys {sorted(mask)})'
            size, counts = mask['size'], mask['counts']
            if list(size) != [height, width]:
                return f'has size {list(size)}, the image has [{height}, {width}]'
            if not counts or not isinstance(counts, (list, str, bytes)):
                return f'is an RLE whose counts are {counts!r}, expected a list of runs or a compressed string'
            if isinstance(counts, list) and (min(counts) < 0 or sum(counts) != height * width):
                return f'is an RLE of {sum(counts)} px (shortest run {min(counts)}), expected {height * width}'
            return None
        if not isinstance(mask, list) or not mask or any(np.ndim(polygon) != 1 for polygon in mask):
            return f'is {reprlib.repr(mask)}, expected polygons or an RLE'
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in mask):
            return 'has a polygon of fewer than three points or an odd number of coordinates'
        if not all(np.isfinite(polygon).all() for polygon in mask):  # pycocotools would take all the memory
            return 'has a polygon with a coordinate that is not finite'
        return None


def unlabelled_item(image: Image.Image, phrases: list[str], *, path: str = 'image') -> dict:
    """Make what :class:`RefCOCO2PNG` takes of an image and phrases whose masks are not known: ``gt_masks`` is None."""
    return {'img_path': path, 'image': to_rgb(image), 'text': phrases, 'gt_masks': None}


@TRANSFORMS.register_module()
class RefCOCO2PNG(BaseTransform):
    """Lay out image, prompt and phrases as PNG (Panoptic Narrative Grounding) does: one sequence, phrases marked in it.

    The sequence is the chat-formatted prompt with its image tokens, then, as the beginning of the model's answer,
    ``phrase 0 . phrase 1 . ...``. Tokens of phrase i have mask id i, all others -1. Phrases are plain text: a special
    token's name in them is spelt out, never turned into the special token. An item without ``gt_masks``
    becomes samples without truth.

    Args:
        image_processor: a QwenImageProcessorWrapper, or the config of one.
        prompt: the user's turn, before the phrases.
        concat: True puts all phrases of an image into one sequence, '.' between (F-LMM); a phrase then sees those
            before it. False makes one sample for each phrase, which is returned as a list.

    Raises:
        ValueError: no list of phrases, a phrase without tokens, another number of masks than of phrases, a mask of
            another size than the image, an image the processor refuses. The message names the image.
    """

    def __init__(self, *, image_processor: QwenImageProcessorWrapper | dict, prompt: str, concat: bool = True) -> None:
        if isinstance(image_processor, dict):
            image_processor = TRANSFORMS.build(image_processor)
        self.image_processor = image_processor
        self.prompt = prompt
        self.concat = concat
        self.separator_ids = image_processor.encode_text('.')

    def transform(self, results: dict) -> GroundingSample | list[GroundingSample]:
        """Return a sample with all phrases of the item, or a list of samples with one phrase each."""
        path, phrases = results['img_path'], results['text']
        bitmaps = results.get('gt_masks')
        gt_masks = None if bitmaps is None else torch.from_numpy(bitmaps.to_ndarray().astype(bool))
        self._check(path, phrases, gt_masks, results['image'])
        try:
            processed = self.image_processor.preprocess(results['image'], prompt=self.prompt)
        except ValueError as error:
            raise ValueError(f'image {path!r}: {error}') from error
        groups = [list(range(len(phrases)))] if self.concat else [[index] for index in range(len(phrases))]
        samples = [
            self._sample(results, processed, group, None if gt_masks is None else gt_masks[group]) for group in groups
        ]
        return samples[0] if self.concat else samples

    @staticmethod
    def _check(path: str, phrases: list[str], gt_masks: torch.Tensor | None, image: Image.Image) -> None:
        if isinstance(phrases, str):
            raise ValueError(f'image {path!r} has the string {phrases!r} for phrases; give a list of strings')
        if not phrases:
            raise ValueError(f'image {path!r} has no phrase; leave it out of the dataset')
        if gt_masks is None:
            return
        if len(phrases) != len(gt_masks):
            raise ValueError(f'image {path!r} has {len(phrases)} phrases and {len(gt_masks)} masks; give one mask each')
        if gt_masks.shape[1:] != (image.height, image.width):
            raise ValueError(
                f'masks of image {path!r} have size {tuple(gt_masks.shape[1:])}, the image has '
                f'{(image.height, image.width)}; check that the annotations belong to this image'
            )

    def _sample(
        self, results: dict, processed: dict, group: list[int], gt_masks: torch.Tensor | None
    ) -> GroundingSample:
        phrases = [results['text'][index] for index in group]
        phrase_ids = [self.image_processor.encode_text(phrase) for phrase in phrases]
        for phrase, ids in zip(phrases, phrase_ids, strict=True):
            if not ids:
                raise ValueError(f'phrase {phrase!r} of image {results["img_path"]!r} has no tokens; remove or fill it')
        prompt_ids = processed['input_ids_with_vision'][0]
        input_ids, mask_ids = prompt_ids.tolist(), [-1] * len(prompt_ids)
        for mask_id, ids in enumerate(phrase_ids):
            if mask_id > 0:
                input_ids += self.separator_ids
                mask_ids += [-1] * len(self.separator_ids)
            input_ids += ids
            mask_ids += [mask_id] * len(ids)
        kinds = results.get('text_kinds')
        return GroundingSample(
            input_ids=torch.tensor(input_ids),
            mask_ids=torch.tensor(mask_ids),
            pixel_values=processed['pixel_values'][0],
            image_grid_thw=processed['image_grid_thw'][0],
            image_layout=processed['image_layouts'][0],
            image_token_id=self.image_processor.image_token_id,
            phrases=phrases,
            masks=None if gt_masks is None else image_to_processed(gt_masks, processed['meta_datas'][0]),
            gt_masks=gt_masks,
            image=results['image'],
            meta_data=processed['meta_datas'][0],
            image_path=results['img_path'],
            phrase_kinds=None if kinds is None else [kinds[index] for index in group],
            dataset_name=results.get('dataset_name', 'dataset'),
            sample_idx=results.get('sample_idx', 0),
        )
