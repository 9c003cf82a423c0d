"""The samples that a benchmark reads."""

import numpy as np
from mmdet.structures.mask import BitmapMasks
from PIL import Image

from flmm.datasets import RefCOCO2PNG
from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.structures import GroundingSample

PROMPT = 'Describe the image.'
PHRASES = ['the red circle on the left', 'a large blue square', 'the green star', 'a cross at the top of the image']
EDGES = {'method': 'laplacian', 'blur': 5}
"""The importance that the configs recommend."""


class SampleMaker:
    """From an image to a sample, as training does it.

    Args:
        image: read by the image processor.
        num_phrases: of the phrases above, again and again; half of the image is the mask of each.
        image_processor: the LMM's.
        independent: whether each phrase is read by itself; False makes one text of all, which is what F-LMM reads.
    """

    def __init__(
        self,
        image: Image.Image,
        *,
        num_phrases: int,
        image_processor: ImageProcessorWrapper,
        independent: bool = True,
    ) -> None:
        self.transform = RefCOCO2PNG(image_processor=image_processor, prompt=PROMPT, independent=independent)
        self.image = image
        self.num_phrases = num_phrases

    def __call__(self, number: int = 0) -> GroundingSample:
        """Make a sample, of a copy of the image: to the model it is another one.

        Args:
            number: another number begins with another phrase, so that samples differ in length, as they do in training.
        """
        masks = np.zeros((self.num_phrases, self.image.height, self.image.width), dtype=np.uint8)
        masks[:, :, : self.image.width // 2] = 1
        item = {
            'img_path': 'image',
            'image': self.image.copy(),
            'text': [PHRASES[(number + i) % len(PHRASES)] for i in range(self.num_phrases)],
            'gt_masks': BitmapMasks(masks, self.image.height, self.image.width),
        }
        return self.transform.transform(item)


def num_image_tokens(sample: GroundingSample) -> int:
    """Count the tokens of all views."""
    return sum(len(view.columns) for view in sample.views)
