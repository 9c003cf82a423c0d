"""What was found, as HTML: masks over the image beside their words, and coarse masks beside refined ones.

A ``flmm-group`` is what page.js works on: an image with layers, and words with the number of their layer.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from flmm.grounder import Grounding
from flmm.visualization import colour_of, spotlight_mask
from flmm.visualization.figures import shrunk_image
from flmm.visualization.mask_layer import SELECTED, Colour
from flmm.web.pictures import data_url, layer_url, masks_on, shown

MASKS = 'masks'
"""Key of the image in the tab of masks."""
COARSE_SIDE = 360
"""Longest side in px of the pictures of coarse and refined masks."""


def empty(text: str) -> str:
    """A place where something will be."""
    return f'<div class="flmm-empty">{escape(text)}</div>'


def as_text(text: str) -> str:
    """Write text as HTML that a browser shows as it is, of as many characters: HTML has other ideas of these two."""
    return escape(text).replace('\r', '&#13;').replace('\0', '\ufffd')


def stage(image: Image.Image, layers: Sequence[str] = (), words: str = '', *, key: str = MASKS) -> str:
    """An image with layers over it, and words below.

    Args:
        image: the picture that the page shows.
        layers: URLs of pictures of its size.
        words: HTML; what has the attribute ``data-layer="i"`` shows layer i alone while the mouse is over it.
        key: how :func:`span_view` names this group.
    """
    all_layers = ''.join(f'<img class="flmm-layer" data-of="{i}" src="{url}" alt="">' for i, url in enumerate(layers))
    return (
        f'<div class="flmm-group" data-key="{key}">'
        f'<div class="flmm-stage" style="--ratio:{image.width / image.height:.4f}">'
        f'<img class="flmm-image" src="{data_url(image)}" alt="the image">{all_layers}'
        f'<img class="flmm-layer flmm-span" data-of="span" alt=""></div><div class="flmm-words">{words}</div></div>'
    )


def words(text: str, layer: int | str | None = None, *, colour: Colour, note: str = '', src: str = '') -> str:
    """Words in the colour of their mask, with a small note behind them.

    Args:
        text: the words.
        layer: of which image layer they are; None where there is none to show.
        colour: RGB.
        note: a few more words.
        src: URL of the layer, where it is not yet over the image.
    """
    attributes = f'class="flmm-word" style="--mask:{",".join(map(str, colour))}"'
    if layer is not None:  # no button element, whose text cannot be selected
        attributes += f' role="button" tabindex="0" data-layer="{layer}"'
    if src:
        attributes += f' data-src="{src}"'
    note = f'<small>{escape(note)}</small>' if note else ''
    return f'<span {attributes}><bdi>{as_text(text)}</bdi>{note}</span>'


def masks_view(found: Grounding) -> str:
    """All masks over the image, and the phrases in their colours."""
    picture = shown(found.image)
    layers = [layer_url(mask, colour_of(index)) for index, mask in enumerate(masks_on(picture, found))]
    chips = [
        words(phrase, index, colour=colour_of(index), note=_absent(found, index))
        for index, phrase in enumerate(found.phrases)
    ]
    return stage(picture, layers, ''.join(chips))


def span_view(found: Grounding, *, over: str = MASKS) -> str:
    """The mask of selected words, for page.js to lay over an image.

    Args:
        found: of one phrase, the words.
        over: the key of the :func:`stage` that has the image.
    """
    picture = shown(found.image)
    (mask,) = masks_on(picture, found)
    src = layer_url(mask, SELECTED)
    chip = words(found.phrases[0], 'span', colour=SELECTED, note=_absent(found, 0), src=src)
    return f'<div class="flmm-selected" data-over="{over}">selected {chip}</div>'


def coarse_view(found: Grounding) -> str:
    """The coarse mask of each phrase beside the refined one, with what the model says of them."""
    picture = shrunk_image(found.image, COARSE_SIDE)
    rows = []
    pairs = zip(found.phrases, masks_on(picture, found, 'coarse'), masks_on(picture, found), strict=True)
    for index, (phrase, coarse, refined) in enumerate(pairs):
        pictures = ''.join(
            f'<figure><img src="{data_url(_spotlight(picture, mask))}" alt=""><figcaption>{name}</figcaption></figure>'
            for name, mask in (('coarse', coarse), ('refined by SAM', refined))
        )
        facts = f'SAM expects an IoU of {found.scores[index]:.2f}'
        if found.existence is not None:
            facts += f'; existence {found.existence[index]:.2f}{_absent(found, index)}'
        word = words(phrase, colour=colour_of(index))
        rows.append(
            f'<div class="flmm-row"><div>{word}<p>{facts}</p></div><div class="flmm-pair">{pictures}</div></div>'
        )
    return f'<div class="flmm-rows">{"".join(rows)}</div>'


def _absent(found: Grounding, index: int) -> str:
    return '' if found.exists is None or found.exists[index] else ', not there'


def _spotlight(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * spotlight_mask(picture, mask)).round().astype(np.uint8))
