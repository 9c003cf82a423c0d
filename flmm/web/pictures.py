"""Pictures for the page, each as the text of a data URL: no file is written, and none is served.

Letters: (PH, PW) the picture of the image in px.
"""

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from flmm.grounder import Grounding
from flmm.visualization import mask_layer
from flmm.visualization.figures import shrunk_image, shrunk_mask
from flmm.visualization.mask_layer import Colour

LONGEST_SIDE = 1024
"""Of a picture in the page in px."""


def data_url(image: Image.Image, kind: str = 'JPEG') -> str:
    """Write a picture as JPEG or PNG into a data URL."""
    settings = {'quality': 90, 'subsampling': 0} if kind == 'JPEG' else {}
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return f'data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode("ascii")}'


def shown(image: Image.Image) -> Image.Image:
    """Return the image as the page shows it, with sides of at most :data:`LONGEST_SIDE` px."""
    return shrunk_image(image, LONGEST_SIDE)


def masks_on(picture: Image.Image, found: Grounding, source: str = 'refined') -> Iterable[np.ndarray]:
    """Yield the mask of each phrase, [PH, PW] bool, for a picture of the image."""
    for masks in found.mask_chunks(source):
        for mask in masks:
            yield shrunk_mask(mask, (picture.height, picture.width))


def layer_url(mask: np.ndarray, colour: Colour) -> str:
    """Draw a mask [PH, PW] as the layer that lies over its picture."""
    return data_url(mask_layer(mask, colour), 'PNG')
