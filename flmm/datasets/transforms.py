"""From an item of the dataset to a GroundingSample: load the image, lay out the token sequence."""

import io
import reprlib
from typing import BinaryIO

import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks
from mmengine import fileio
from PIL import Image

from flmm.datasets.image_processor import ImageProcessorWrapper, ProcessedImage
from flmm.datasets.text_tokenizer import Piece, TextTokenizer
from flmm.files import open_regular
from flmm.geometry import image_to_processed
from flmm.images import MAX_IMAGE_PIXELS, check_image_settings, read_image_size, read_rgb, to_rgb
from flmm.registry import TRANSFORMS
from flmm.structures import GroundingSample
from flmm.text import check_text


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
        with self._open(path) as file:
            image = read_rgb(file, name=path, orientation=self.orientation, max_pixels=self.max_pixels)
        results['image'] = image
        results['height'], results['width'] = image.height, image.width
        results['img_shape'] = results['ori_shape'] = (image.height, image.width)
        return results

    def read_size(self, path: str) -> tuple[int, int]:
        """Read the (height, width) in px that the image would have from the header of its file, as far as it goes."""
        with self._open(path) as file:
            width, height = read_image_size(file, name=path, orientation=self.orientation, max_pixels=self.max_pixels)
        return height, width

    def _open(self, path: str) -> BinaryIO:
        try:
            backend = fileio.get_file_backend(path, backend_args=self.backend_args, enable_singleton=True)
            return open_regular(path) if isinstance(backend, fileio.LocalBackend) else io.BytesIO(backend.get(path))
        except FileNotFoundError as error:
            raise ValueError(f'image {path!r} does not exist; check data_root and data_prefix') from error
        except (ImportError, KeyError) as error:  # what a path such as 's3://...' needs, or one of unknown form
            raise ValueError(
                f'image {path!r} has no file backend ({error}); install what it asks for, or check data_root'
            ) from error
        except (OSError, ValueError) as error:
            raise ValueError(f'image {path!r} cannot be read ({error}); check data_root and data_prefix') from error


def unlabelled_item(image: Image.Image, phrases: list[str], *, path: str = 'image') -> dict:
    """Make what :class:`RefCOCO2PNG` takes of an image and phrases whose masks are not known: ``gt_masks`` is None.

    An image that is RGB already is not copied: samples that are to share what was read of it show the same object.
    """
    is_rgb = image.mode == 'RGB' and not image.has_transparency_data
    return {'img_path': path, 'image': image if is_rgb else to_rgb(image), 'text': phrases, 'gt_masks': None}


@TRANSFORMS.register_module()
class RefCOCO2PNG(BaseTransform):
    """Lay out image, prompt and phrases in one sequence, phrases marked in it.

    The sequence is the chat-formatted prompt with its image tokens, then, as the beginning of the model's answer, the
    phrases. Tokens of phrase i have mask id i, all others -1. They are those of the text that
    :func:`flmm.text.prepare_phrase` makes of the phrase, in training, testing and inference alike; the sample's
    ``phrases`` stay as given. Phrases are plain text: a special token's name in them is spelt out, never turned into
    the special token. An item without ``gt_masks`` becomes samples without truth.

    Phrases are read in one of two ways. Independent ones each follow the prompt as if they were alone, so the mask of
    one depends neither on the others nor on their order. Otherwise they are one text, ``phrase 0.phrase 1.phrase 2``,
    in which a phrase sees those before it, as F-LMM has it (CVPR 2025).

    An item may have a ``caption`` that its phrases are part of, as PNG's have
    (:meth:`flmm.datasets.text_tokenizer.TextTokenizer.caption`). With ``concat=True`` the caption is then the one text
    that is read, as it is written: ``lowercase`` does not apply to it, no '.' is added, and its phrases are not
    independent. With ``concat=False`` each phrase stands alone, without the caption, and is prepared as any other.

    Args:
        image_processor: the wrapper of the LMM's processor, such as QwenImageProcessorWrapper, or the config of one.
        prompt: the user's turn, before the phrases.
        concat: True makes one sample of all phrases of an image. False makes one sample for each phrase, which is
            returned as a list.
        independent: whether phrases of one sample are read each by itself; see above.
        lowercase: reads phrases in lower case, as RefCOCO's published protocol does; captions stay as they are.
        max_phrase_tokens: the most tokens that one phrase may have.
        max_text_tokens: the most tokens that are not of the image or video, and are read together: prompt, phrases and
            what separates them; prompt and phrase where phrases are independent. The memory of a forward grows with
            them.

    Raises:
        ValueError: a setting of another kind, no list of phrases, a phrase that says nothing or too much, another
            number of masks than of phrases, a mask of another size than the image, an image the processor refuses.
            The message names the image.
    """

    def __init__(
        self,
        *,
        image_processor: ImageProcessorWrapper | dict,
        prompt: str,
        concat: bool = True,
        independent: bool = True,
        lowercase: bool = True,
        max_phrase_tokens: int = 256,
        max_text_tokens: int = 2048,
    ) -> None:
        if isinstance(image_processor, dict):
            image_processor = TRANSFORMS.build(image_processor)
        for name, value in (('concat', concat), ('independent', independent), ('lowercase', lowercase)):
            if not isinstance(value, bool):
                raise ValueError(f'{name} is {value!r}, expected True or False')
        for name, value in (('max_phrase_tokens', max_phrase_tokens), ('max_text_tokens', max_text_tokens)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'{name} is {value!r}, expected an integer above 0')
        check_text(prompt, what='prompt')
        self.image_processor = image_processor
        self.prompt = prompt
        self.concat, self.independent = concat, independent
        self.text_tokenizer = TextTokenizer(
            image_processor=image_processor, lowercase=lowercase, max_phrase_tokens=max_phrase_tokens
        )
        self.max_text_tokens = max_text_tokens

    def transform(self, results: dict) -> GroundingSample | list[GroundingSample]:
        """Return a sample with all phrases of the item, or a list of samples with one phrase each."""
        try:
            processed = self.image_processor.preprocess(results['image'], prompt=self.prompt)
        except ValueError as error:
            raise ValueError(f'image {results["img_path"]!r}: {error}') from error
        return self.lay_out(results, processed)

    def lay_out(self, results: dict, processed: ProcessedImage) -> GroundingSample | list[GroundingSample]:
        """Lay phrases out behind an image that is processed already; otherwise as :meth:`transform`.

        Samples of one image share its pixels, and what was drawn for it at random.

        Args:
            results: the item.
            processed: its image, with this object's prompt.
        """
        path, phrases = results['img_path'], results['text']
        bitmaps = results.get('gt_masks')
        gt_masks = None if bitmaps is None else _to_tensor(bitmaps)
        self._check(path, phrases, gt_masks, results['image'])
        groups = [list(range(len(phrases)))] if self.concat else [[index] for index in range(len(phrases))]
        caption = results.get('caption') if self.concat else None
        independent = self.independent and caption is None
        try:
            if caption is not None:
                texts = [self.text_tokenizer.caption(caption, phrases)]
            else:
                texts = [
                    self.text_tokenizer.phrases([phrases[index] for index in group], separated=not independent)
                    for group in groups
                ]
        except ValueError as error:
            raise ValueError(f'image {path!r}: {error}') from error
        samples = [
            self._sample(
                results,
                processed,
                group,
                pieces,
                None if gt_masks is None else gt_masks[group],
                independent=independent,
            )
            for group, pieces in zip(groups, texts, strict=True)
        ]
        return samples[0] if self.concat else samples

    @staticmethod
    def _check(path: str, phrases: list[str], gt_masks: torch.Tensor | None, image: Image.Image) -> None:
        if isinstance(phrases, str):
            raise ValueError(f'image {path!r} has the string {phrases!r} for phrases; give a list of strings')
        if not isinstance(phrases, (list, tuple)):
            raise ValueError(f'image {path!r} has a {type(phrases).__name__} for phrases; give a list of strings')
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
        self,
        results: dict,
        processed: ProcessedImage,
        group: list[int],
        pieces: list[Piece],
        gt_masks: torch.Tensor | None,
        *,
        independent: bool,
    ) -> GroundingSample:
        input_ids = processed.input_ids.tolist()
        mask_ids = [-1] * len(input_ids)
        for ids, mask_id in pieces:
            input_ids += ids
            mask_ids += [mask_id] * len(ids)
        lengths = [len(ids) for ids, _ in pieces]
        num_text_tokens = len(processed.input_ids) + (max(lengths) if independent else sum(lengths))
        num_text_tokens -= _num_shown_tokens(processed)
        if num_text_tokens > self.max_text_tokens:
            longest = group[max((len(ids), mask_id) for ids, mask_id in pieces if mask_id >= 0)[1]]
            phrase = reprlib.repr(results['text'][longest])
            if independent or len(group) == 1:
                read, remedy = f'phrase {phrase}', 'shorten them'
            else:
                read, remedy = f'{len(group)} phrases (the longest is {phrase})', 'give fewer phrases at a time'
            raise ValueError(
                f'image {results["img_path"]!r}: prompt and {read} have {num_text_tokens} tokens, max_text_tokens is '
                f'{self.max_text_tokens}; {remedy}, or raise the setting of RefCOCO2PNG (memory grows with it)'
            )
        infos, ignore_masks = results.get('phrase_infos'), results.get('ignore_masks')
        return GroundingSample(
            input_ids=torch.tensor(input_ids),
            mask_ids=torch.tensor(mask_ids),
            lmm_inputs=processed.lmm_inputs,
            views=processed.views,
            phrases=[results['text'][index] for index in group],
            masks=None if gt_masks is None else image_to_processed(gt_masks, processed.views[-1].meta_data),
            gt_masks=gt_masks,
            image=results['image'],
            image_path=results['img_path'],
            phrase_infos=None if infos is None else [infos[index] for index in group],
            ignore_masks=None if ignore_masks is None else _to_tensor(ignore_masks)[group],
            dataset_name=results.get('dataset_name', 'dataset'),
            sample_idx=results.get('sample_idx', 0),
            prompt_length=len(processed.input_ids),
            independent=independent,
            is_video=processed.is_video,
        )


def _num_shown_tokens(processed: ProcessedImage) -> int:
    """Count the tokens of an image; or all from the first to the last of a video, the times between them included."""
    placeholder = processed.input_ids[processed.views[0].columns[0]]
    places = (processed.input_ids == placeholder).nonzero()
    return int(places[-1] - places[0]) + 1 if processed.is_video else len(places)


def _to_tensor(bitmaps: BitmapMasks) -> torch.Tensor:
    return torch.from_numpy(bitmaps.to_ndarray().astype(bool))  # [M, height, width]
