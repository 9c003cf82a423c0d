"""A visual chain of thought: a question, the object that its answer depends on, a closer look at it, the answer.

F-LMM ("Grounding Frozen Large Multimodal Models", CVPR 2025) shows this as a use of its masks: the LMM names the
object, its words are grounded, and the crop around the mask is shown to it. The layout is this package's addition.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from flmm.datasets import QwenImageProcessorWrapper
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.answer import Answer, AnySpan
from flmm.grounder.grounding import Grounding
from flmm.grounder.prepared_image import PreparedImage
from flmm.grounder.region import Region, in_whole_image

if TYPE_CHECKING:
    from flmm.grounder.read_image import ReadImage

WAYS = ('crop', 'image_and_crop', 'layout')
DEFAULT_SCALE = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class CloserAnswer:
    """What the LMM says with a region of the image before it at a finer scale.

    Args:
        answer: the answer, behind what it was based on. ``answer.read`` is the reading that its words are grounded in:
            of the crop, of the image with the crop beside it, or of the image by the layout.
        how: 'crop', 'image_and_crop' or 'layout'.
        image: the whole image, as RGB.
        region: what was looked at.
        scale: how many times finer than in the first reading a px of the region was read, as it came out: units are
            whole, and a processor has bounds.
        num_image_tokens: how many image tokens stand before the answer.
    """

    answer: Answer
    how: str
    image: Image.Image
    region: Region
    scale: float
    num_image_tokens: int

    @property
    def text(self) -> str:
        """The answer without marks."""
        return self.answer.text

    def ground(self, spans: Iterable[AnySpan] | None = None) -> Grounding:
        """Find parts of the answer: masks and boxes in the whole image, also where they are found in a crop.

        Arguments and errors are those of :meth:`flmm.grounder.Answer.ground`.
        """
        found = self.answer.ground(spans)
        return in_whole_image(found, box=self.region.box, image=self.image) if self.how == 'crop' else found


def check_way(read: 'ReadImage', *, how: str, scale: float | None) -> None:
    """Refuse what the LMM cannot read, before anything is read.

    Raises:
        ValueError: naming the setting and what can be read.
    """
    if how not in WAYS:
        raise ValueError(f'how is {how!r}, expected one of {", ".join(WAYS)}')
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f'scale is {scale}, expected a factor above 0, such as 2')
    is_qwen = isinstance(read.grounder.to_sample.image_processor, QwenImageProcessorWrapper)
    if not is_qwen and (how != 'crop' or scale is not None):
        raise ValueError(
            f'how is {how!r} and scale is {scale}, but two images in a chat, layouts and sizes are for Qwen-VL models, '
            f"not for a {type(read.grounder.model.lmm).__name__}; take how='crop' and leave scale out"
        )


def look_closer(
    read: 'ReadImage', question: str, *, region: Region, how: str, scale: float | None, **settings: Any
) -> CloserAnswer:
    """Answer a question with a region read at a finer scale; see :meth:`flmm.grounder.ReadImage.chat_closer`."""
    grounder = read.grounder
    processor, prompt = grounder.to_sample.image_processor, grounder.to_sample.prompt
    is_qwen = isinstance(processor, QwenImageProcessorWrapper)
    scale = DEFAULT_SCALE if scale is None else scale
    # The area in px at which the whole image, if it were read as finely, would be read.
    num_pixels = scale**2 * math.prod(read.processed.views[-1].meta_data['image_shape'].values())
    if how == 'layout':
        num_tokens = len(read.processed.views[-1].columns)
        found = processor.read_region(read.image, box=region.box, num_pixels=round(num_pixels), num_tokens=num_tokens)
        processed = processor.lay_out(*found, prompt=prompt)
        prepared = PreparedImage(image=read.image, name=read.name, processed=processed)
        closer = grounder.read_prepared(prepared, image_embedding=read.reading.image_embedding)
    else:
        crop = read.image.crop(region.box)
        if is_qwen:
            share = crop.width * crop.height / (read.image.width * read.image.height)
            area = min(max(round(num_pixels * share), processor.size['shortest_edge']), processor.size['longest_edge'])
            processed = processor.lay_out(*processor.read_image(crop, num_pixels=area), prompt=prompt)
        else:
            processed = processor.preprocess(crop, prompt=prompt)
        prepared = PreparedImage(image=crop, name=f'{read.name}, {region.box}', processed=processed)
        # Without SAM's encoder: an answer needs no mask.
        closer = grounder.read_prepared(prepared, image_embedding={}) if how == 'crop' else read.beside(prepared)
    answer = closer.chat(question, **settings)
    return CloserAnswer(
        answer=answer,
        how=how,
        image=read.image,
        region=region,
        scale=math.sqrt(_pixels_per_pixel(processed) / _pixels_per_pixel(read.processed)),
        num_image_tokens=int((answer.prompt_ids == processor.image_token_id).sum()),
    )


def _pixels_per_pixel(processed: ProcessedImage) -> float:
    """How many px the LMM reads for a px of the image, by area."""
    frames = processed.views[-1].meta_data
    return math.prod(frames['image_shape'].values()) / math.prod(frames['original_shape'].values())
