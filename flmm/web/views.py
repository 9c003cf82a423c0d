"""What was found, as HTML: masks over the image beside their words, and coarse masks beside refined ones.

A ``flmm-group`` is what page.js works on: an image with layers, and words with the number of their layer.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from flmm.grounder import Grounding
from flmm.visualization import spotlight_mask
from flmm.web.pictures import color_of, data_url, mask_layer, masks_for, shrunk

COARSE_SIDE = 360
"""Longest side in px of the pictures of coarse and refined masks."""


def empty(text: str) -> str:
    """A place where something will be."""
    return f'<div class="flmm-empty">{escape(text)}</div>'


def stage(image: Image.Image, layers: Sequence[str] = (), words: str = '') -> str:
    """An image with layers over it, and words below.

    Args:
        image: the picture that the page shows.
        layers: URLs of pictures of its size.
        words: HTML; what has the attribute ``data-layer="i"`` shows layer i alone while the mouse is over it.
    """
    shown = ''.join(f'<img class="flmm-layer" data-of="{i}" src="{url}" alt="">' for i, url in enumerate(layers))
    return (
        f'<div class="flmm-group"><div class="flmm-stage" style="--ratio:{image.width / image.height:.4f}">'
        f'<img class="flmm-image" src="{data_url(image)}" alt="the image">{shown}'
        f'<img class="flmm-layer flmm-span" data-of="span" alt=""></div><div class="flmm-words">{words}</div></div>'
    )


def words(text: str, layer: int | str, *, color: tuple[int, int, int], note: str = '', src: str = '') -> str:
    """Words in the colour of their mask, with a small note behind them."""
    rgb = ','.join(map(str, color))
    at = f' data-src="{src}"' if src else ''
    note = f'<small>{escape(note)}</small>' if note else ''
    return (
        f'<button type="button" class="flmm-word" data-layer="{layer}"{at} style="--mask:{rgb}">'
        f'{escape(text)}{note}</button>'
    )


def masks_view(found: Grounding) -> str:
    """All masks over the image, and the phrases in their colours."""
    picture = shrunk(found.image)
    layers = [
        data_url(mask_layer(mask, color_of(index)))
        for index, mask in enumerate(masks_for(found, (picture.height, picture.width)))
    ]
    chips = [
        words(phrase, index, color=color_of(index), note=_absent(found, index))
        for index, phrase in enumerate(found.phrases)
    ]
    return stage(picture, layers, ''.join(chips))


def span_view(found: Grounding) -> str:
    """The mask of selected words, for page.js to lay over the image of :func:`masks_view`."""
    picture = shrunk(found.image)
    (mask,) = masks_for(found, (picture.height, picture.width))
    src = data_url(mask_layer(mask, SPAN_COLOR))
    chip = words(found.phrases[0], 'span', color=SPAN_COLOR, note=_absent(found, 0), src=src)
    return f'<div class="flmm-selected">selected {chip}</div>'


SPAN_COLOR = (250, 220, 0)


def coarse_view(found: Grounding) -> str:
    """The coarse mask of each phrase beside the refined one, with what the model says of them."""
    picture = shrunk(found.image, COARSE_SIDE)
    size = (picture.height, picture.width)
    rows = []
    pairs = zip(found.phrases, masks_for(found, size, 'coarse'), masks_for(found, size), strict=True)
    for index, (phrase, coarse, refined) in enumerate(pairs):
        pictures = ''.join(
            f'<figure><img src="{data_url(_spotlight(picture, mask))}" alt=""><figcaption>{name}</figcaption></figure>'
            for name, mask in (('coarse', coarse), ('refined by SAM', refined))
        )
        facts = f'SAM expects an IoU of {found.scores[index]:.2f}'
        if found.existence is not None:
            facts += f'; existence {found.existence[index]:.2f}{_absent(found, index)}'
        word = words(phrase, index, color=color_of(index))
        rows.append(
            f'<div class="flmm-row"><div>{word}<p>{facts}</p></div><div class="flmm-pair">{pictures}</div></div>'
        )
    return f'<div class="flmm-rows">{"".join(rows)}</div>'


def _absent(found: Grounding, index: int) -> str:
    return '' if found.exists is None or found.exists[index] else ', not there'


def _spotlight(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * spotlight_mask(picture, mask)).round().astype(np.uint8))
