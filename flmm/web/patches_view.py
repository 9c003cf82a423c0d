"""Which patches an adaptive selection keeps of the image, as HTML, and how many tokens that takes."""

from dataclasses import dataclass

from PIL import Image

from flmm.apt import PatchSelection, PatchTokenizer
from flmm.apt.layout import SIZES, TokenLayout
from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper
from flmm.grounder import ReadImage
from flmm.qwen import resize_image
from flmm.visualization import draw_tokens, rebuild_image
from flmm.visualization.patch_grid import COLORS
from flmm.web.pictures import data_url

USUAL_SIDE = 640
"""Smaller pictures are enlarged to about that many px, each pixel to a square of pixels."""


@dataclass(kw_only=True, frozen=True)
class Patches:
    """The tokens of an image.

    Args:
        layout: which square each token covers, at the size at which the model reads it.
        tokens: picture of them over the image.
        rebuilt: picture of what the model reads.
    """

    layout: TokenLayout
    tokens: Image.Image
    rebuilt: Image.Image


def selects_patches(wrapper: object) -> bool:
    """Tell whether images of this processor can be read adaptively: Qwen's can."""
    return isinstance(wrapper, QwenImageProcessorWrapper)


def select_patches(read: ReadImage, selection: PatchSelection) -> Patches:
    """Cut the image as its model's processor would with that selection."""
    wrapper = read.grounder.to_sample.image_processor
    processor = wrapper.image_processor
    pixels = resize_image(read.image, processor=processor, size=wrapper.size, name=read.name)
    tokenizer = PatchTokenizer(selection=selection, patch_size=processor.patch_size, merge_size=processor.merge_size)
    (patches,), (layout,) = tokenizer(pixels)
    zoom = max(1, round(USUAL_SIDE / max(pixels.shape[2:])))
    image = pixels[0].permute(1, 2, 0).numpy().repeat(zoom, axis=0).repeat(zoom, axis=1)
    return Patches(
        layout=layout,
        tokens=Image.fromarray(draw_tokens(image, layout)),
        rebuilt=Image.fromarray(rebuild_image(patches, layout)),
    )


def patches_view(read: ReadImage, **settings: object) -> str:
    """Draw the patches of a selection and count its tokens.

    Args:
        read: the image.
        **settings: the fields of :class:`flmm.apt.PatchSelection`.

    Raises:
        ValueError: a setting out of its range.
    """
    if settings['patch_selection_method'] not in ('v2', 'budget'):
        settings['alpha'] = 1.0  # a slider stays where it is when the others don't use it
    patches = select_patches(read, PatchSelection(**settings))
    (h, w), kept = patches.layout.grid_size, len(patches.layout)
    unit = read.grounder.to_sample.image_processor.image_processor
    unit = unit.patch_size * unit.merge_size
    counts = ''.join(
        f'<li style="--mask:{",".join(map(str, COLORS[s]))}"><b>{int((patches.layout.tokens[:, 2] == s).sum()):,}</b> '
        f'of {s * unit} px</li>'
        for s in SIZES
    )
    pictures = ''.join(
        f'<figure><img src="{data_url(picture)}" alt=""><figcaption>{name}</figcaption></figure>'
        for name, picture in (('tokens', patches.tokens), ('what the model reads', patches.rebuilt))
    )
    return (
        f'<div class="flmm-patches"><p class="flmm-count"><b>{kept:,}</b> of {h * w:,} tokens kept '
        f'({kept / (h * w):.0%})</p><ul>{counts}</ul><div class="flmm-pair">{pictures}</div></div>'
    )
