"""Pictures of grounded phrases: image, attention, coarse mask, refined mask, truth.

What a page shows is taken of the samples first, small enough to be kept, and drawn then or later.

Letters: M masks of a sample, C attention maps of each (of all views), (h, w) their grid, (IH, IW) the image and
(PH, PW) its picture in px.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from flmm.clip_sample import ClipSample
from flmm.geometry import FrameMetaData, frame_meta_data, frame_of_cells, image_cells, resample_view
from flmm.phrase_scores import SOURCES, phrase_scores
from flmm.structures import GroundingSample
from flmm.visualization.text import TextFigure, fit_text, text_style

COLUMN_WIDTH, ROW_HEIGHT, NOTE_HEIGHT = 2.1, 2.35, 0.3
"""In inches."""
FONT_SIZE = 8
LONGEST_SIDE = 300
"""Of the pictures of a page in px; it shows 200 of them."""
MAX_ROWS = 24
FRAMES_OF_A_CLIP = 4
"""So many frames of a clip are on its page, spread over the video."""


@dataclass(frozen=True, kw_only=True)
class PhraseRow:
    """One phrase: at most 0.3 MB for the image, which a sample's phrases share, and 0.6 MB for the rest.

    Args:
        phrase: what the sample calls it.
        image: RGB, with sides (PW, PH) up to :data:`LONGEST_SIDE`.
        heat: [PH, PW] float32 in 0..1, see :func:`attention_map`; None where there is none to show.
        masks: title of the column -> [PH, PW] bool. Of samples: 'coarse', 'refined', and 'truth' where it is known.
        ious: title of the column -> IoU in the image frame, 0..1, where it is known.
        absent: titles of the columns whose masks say that the phrase means nothing in the image.
    """

    phrase: str
    image: Image.Image
    heat: np.ndarray | None
    masks: dict[str, np.ndarray]
    ious: dict[str, float]
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PhrasePage:
    """The rows of a page, and how many phrases found no place on it."""

    rows: list[PhraseRow]
    num_left_out: int


def spotlight_mask(image: Image.Image, mask: Tensor | np.ndarray) -> np.ndarray:
    """Keep the colours of ``image`` where ``mask`` [IH, IW] is True; the rest is dark and grey.

    Returns:
        [IH, IW, 3] float in 0..1.
    """
    pixels = np.asarray(image, dtype=np.float32) / 255
    shown = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
    return np.where(shown[..., None], pixels, 0.35 * pixels.mean(axis=2, keepdims=True))


def attention_map(attentions: Tensor, meta_data: FrameMetaData, size: tuple[int, int]) -> np.ndarray:
    """Average the channels of one phrase for display over the image, smoothly, without what lies beside it.

    Every channel counts the same: it is first divided by its sum over the image, since heads differ by orders of
    magnitude in how much attention they spend on the image at all.

    Args:
        attentions: [C, h, w] on a grid over the frame, padding included.
        meta_data: how the frame lies over the image.
        size: (PH, PW) of the picture of the image.

    Returns:
        [PH, PW] float32 in 0..1.
    """
    grid_size = tuple(attentions.shape[-2:])
    # Padding goes before anything is smoothed: else it would shine into the image.
    rows, columns = image_cells(meta_data, grid_size)
    frame = frame_of_cells(meta_data, grid_size, (rows, columns))
    attentions = attentions[:, rows, columns].float()
    share = attentions / attentions.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    grid = share.mean(dim=0)[None, None]
    smooth = resample_view(grid, frame, frame_meta_data(size, size), size, mode='bicubic')[0, 0].clamp(min=0)
    return (smooth / smooth.max().clamp(min=1e-12)).cpu().numpy()


def draw_phrases(samples: Sequence[GroundingSample], *, max_rows: int = MAX_ROWS) -> Figure:
    """Draw one row for each phrase, with the columns image, attention, coarse, refined, truth.

    Where no truth is known there is no IoU; the column of truths is left out where no sample has any.

    Args:
        samples: predicted samples that still hold ``mask_attentions`` (``model(samples, mode='tensor')``).
        max_rows: later phrases are left out; a line below says how many.

    Raises:
        ValueError: no sample, one without predictions, or one without its image.
    """
    return draw_page(phrase_page(samples, max_rows=max_rows))


def draw_page(page: PhrasePage) -> Figure:
    """Draw what :func:`phrase_page` took of samples, or rows of other masks: image, attention where known, masks."""
    columns = ['image', 'attention'] if any(row.heat is not None for row in page.rows) else ['image']
    columns += dict.fromkeys(title for row in page.rows for title in row.masks)
    height = ROW_HEIGHT * len(page.rows) + NOTE_HEIGHT * bool(page.num_left_out)
    figure = TextFigure(figsize=(COLUMN_WIDTH * len(columns), height), layout='constrained')
    axes = figure.subplots(len(page.rows), len(columns), squeeze=False)
    for row_axes, row in zip(axes, page.rows, strict=True):
        _draw_row(dict(zip(columns, row_axes, strict=True)), row)
    if page.num_left_out:
        phrases = 'phrase is' if page.num_left_out == 1 else 'phrases are'
        figure.supxlabel(f'{page.num_left_out} more {phrases} not shown', fontsize=FONT_SIZE, x=0.01, ha='left')
    return figure


def _draw_row(axes: dict[str, Axes], row: PhraseRow) -> None:
    for column, axis in axes.items():
        axis.set_axis_off()
        title = f'{column}, IoU {row.ious[column]:.2f}' if column in row.ious else column
        title += ', not there' if column in row.absent else ''
        if column in row.masks:
            axis.imshow(spotlight_mask(row.image, row.masks[column]))
        elif column == 'image':
            axis.imshow(row.image)
        elif column == 'attention' and row.heat is not None:
            axis.imshow(row.image.convert('L').convert('RGB'))
            axis.imshow(row.heat, cmap='inferno', alpha=0.75)
        else:
            title = f'{column} not known'
            axis.set_box_aspect(row.image.height / row.image.width)
        axis.set_title(title, fontsize=FONT_SIZE, loc='left', **text_style(title))
    phrase = fit_text(f'"{row.phrase}"', width=COLUMN_WIDTH - 0.1, fontsize=FONT_SIZE, max_lines=4)
    axes['image'].set_title(phrase, fontsize=FONT_SIZE, loc='left', **text_style(phrase))


def phrase_page(samples: Sequence[GroundingSample], *, max_rows: int = MAX_ROWS) -> PhrasePage:
    """Take of predicted samples what a page shows.

    Args:
        samples: that still hold ``mask_attentions`` (``model(samples, mode='tensor')``).
        max_rows: later phrases are left out, and counted.

    Raises:
        ValueError: no sample, one without predictions, or one without its image.
    """
    for sample in samples:
        if sample.mask_attentions is None:
            raise ValueError(f"sample of {sample.image_path!r} holds no predictions; draw what mode='tensor' returns")
    rows = list(itertools.islice(itertools.chain.from_iterable(map(_rows, samples)), max_rows))
    if not rows:
        raise ValueError('draw_phrases got no phrase to draw; pass at least one sample')
    return PhrasePage(rows=rows, num_left_out=sum(sample.num_masks for sample in samples) - len(rows))


def sample_page(sample: GroundingSample | ClipSample) -> PhrasePage:
    """Take what a page shows of a predicted sample, of an image as :func:`phrase_page` does.

    Of a clip it shows each phrase in a few frames, and the attention to them where it was kept.

    Raises:
        ValueError: no predictions.
    """
    if isinstance(sample, GroundingSample):
        return phrase_page([sample])
    if sample.grounded is None:
        raise ValueError(f'video {sample.video_path!r} holds no predictions; draw what the model returns')
    last = len(sample.frames) - 1
    numbers = sorted({round(last * i / (FRAMES_OF_A_CLIP - 1)) for i in range(FRAMES_OF_A_CLIP)})
    frames = [
        [replace(row, phrase=f'{row.phrase} ({sample.frame_names[number]})') for row in _rows(sample.grounded[number])]
        for number in numbers
    ]
    rows = list(itertools.chain.from_iterable(zip(*frames, strict=True)))
    num_whole = MAX_ROWS // len(numbers) * len(numbers)
    num_left_out = max(len(rows) - num_whole, 0) // len(numbers)
    return PhrasePage(rows=rows[:num_whole], num_left_out=num_left_out)


@torch.no_grad()
def _rows(sample: GroundingSample) -> Iterator[PhraseRow]:
    if sample.coarse is None or sample.refined is None:
        raise ValueError(f"sample of {sample.image_path!r} holds no predictions; draw what mode='tensor' returns")
    if sample.image is None:
        raise ValueError(f'sample of {sample.image_path!r} holds no image, as samples of stored features do not')
    image = shrunk_image(sample.image, LONGEST_SIDE)
    size = (image.height, image.width)
    masks = {
        source: [shrunk_mask(mask, size) for _, chunk in sample.mask_chunks(source) for mask in chunk]
        for source in SOURCES
    }
    scores = []
    if sample.gt_masks is not None:
        masks['truth'] = [shrunk_mask(mask, size) for mask in sample.gt_masks]
        scores = list(phrase_scores(sample))
    for index, phrase in enumerate(sample.phrases):
        verdicts = {source: sample.verdict(source) for source in SOURCES}
        absent = {source for source, exists in verdicts.items() if exists is not None and not exists[index]}
        if sample.gt_masks is not None and not sample.has_target[index]:
            absent.add('truth')
        yield PhraseRow(
            phrase=phrase,
            image=image,
            heat=None
            if sample.mask_attentions is None
            else attention_map(sample.mask_attentions[index], sample.meta_data, size),
            masks={name: bitmaps[index] for name, bitmaps in masks.items()},
            ious={score.source: score.iou for score in scores[index :: sample.num_masks] if score.has_target},
            absent=frozenset(absent),
        )


def shrunk_image(image: Image.Image, longest: int) -> Image.Image:
    """Return the image with sides of at most ``longest`` px; a small one as it is."""
    image = image.copy()
    image.thumbnail((longest, longest))
    return image


def shrunk_mask(mask: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Shrink a [IH, IW] bool mask to ``size``; a pixel of it stays visible."""
    if tuple(mask.shape) == size:
        return mask.cpu().numpy()
    return F.adaptive_max_pool2d(mask[None].float(), size)[0].bool().cpu().numpy()
