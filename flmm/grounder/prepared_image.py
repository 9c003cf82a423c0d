"""An image as far as it comes without the model."""

import os
from dataclasses import dataclass

from PIL import Image

from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.any_image import AnyImage, any_image
from flmm.structures import GroundingSample


@dataclass(kw_only=True, frozen=True, eq=False)
class PreparedImage:
    """What reading an image begins with. Any process can make it, such as a worker of a data loader.

    Args:
        image: the image as RGB.
        name: what messages call it.
        processed: what the LMM reads of it, with the prompt.
    """

    image: Image.Image
    name: str
    processed: ProcessedImage

    def sample(self, phrases: list[str], *, to_sample: RefCOCO2PNG) -> GroundingSample:
        """Lay phrases out behind image and prompt.

        Args:
            phrases: what to find.
            to_sample: by whose processor and prompt the image was processed.

        Raises:
            ValueError: phrases that ``to_sample`` refuses.
        """
        return to_sample.lay_out(unlabelled_item(self.image, phrases, path=self.name), self.processed)

    def beginning(self, *, to_sample: RefCOCO2PNG) -> GroundingSample:
        """Return a sample for what ends before any phrase. It has one, since samples do, but which does not matter."""
        return self.sample(['x'], to_sample=to_sample)


def prepare_image(image: AnyImage, *, to_sample: RefCOCO2PNG, name: str | None = None) -> PreparedImage:
    """Decode an image and process it for the LMM.

    Args:
        image: anything that :meth:`flmm.grounder.Grounder.read` takes.
        to_sample: whose processor and prompt are used.
        name: what messages call the image; None takes the path of a file, and 'image' for others.

    Raises:
        ValueError: an image of another kind, or one that the processor refuses.
    """
    try:
        picture, own_name = any_image(image)
    except ValueError as error:
        if name is None or isinstance(image, (str, os.PathLike)):  # whose message has the path
            raise
        raise ValueError(f'{name}: {error}') from error
    name = own_name if name is None else name
    try:
        processed = to_sample.image_processor.preprocess(picture, prompt=to_sample.prompt)
    except ValueError as error:
        raise ValueError(f'image {name!r}: {error}') from error
    return PreparedImage(image=picture, name=name, processed=processed)
