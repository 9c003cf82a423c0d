"""The report as a page of pictures: what is measured, and some images with their masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from flmm.data_check.problems import logged_warnings
from flmm.data_check.sources import Source
from flmm.data_check.summary import DISTRIBUTIONS, Summary
from flmm.visualization import spotlight_mask
from flmm.visualization.text import TextFigure, fit_text, text_style

COLUMNS = 4
COLUMN_WIDTH, ROW_HEIGHT = 3.0, 2.8
TEXT_WIDTH, LINE_HEIGHT = 2.4, 0.15
"""In inches."""
FONT_SIZE = 8
NUM_PICTURES = 11
MOST_MASKS = 4
"""In a picture."""
LONGEST_SIDE = 400
"""Of a picture in px."""
COLORS = matplotlib.colormaps['tab10'].colors


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image with some of its phrases, each with its mask [h, w] bool; None for one without."""

    label: str
    image: Image.Image
    phrases: list[tuple[str, np.ndarray | None]]


def draw_report(sources: Sequence[Source], summaries: Sequence[Summary]) -> Figure:
    """Draw a histogram of each measure, with a line for each loader, and a few images with their masks.

    Images that cannot be read, or whose masks cannot, are passed over.

    Args:
        sources: the datasets, one at least.
        summaries: theirs, in this order.
    """
    pictures = list(_choose(sources))
    values = {source.loader: {name: [] for name in DISTRIBUTIONS} for source in sources}
    for source, summary in zip(sources, summaries, strict=True):
        for name, found in summary.values.items():
            values[source.loader][name] += found
    measures = [name for name in DISTRIBUTIONS if name not in ('width', 'height')]
    num_rows = -(-(1 + len(measures) + len(pictures)) // COLUMNS)
    figure = TextFigure(figsize=(COLUMNS * COLUMN_WIDTH, num_rows * ROW_HEIGHT), layout='constrained')
    axes = figure.subplots(num_rows, COLUMNS, squeeze=False).ravel()
    _draw_sizes(axes[0], values)
    for axis, name in zip(axes[1:], measures, strict=False):
        _draw_histogram(axis, name, values)
    rest = axes[1 + len(measures) :]
    for axis in rest:
        axis.set_axis_off()
    for axis, picture in zip(rest, pictures, strict=False):
        _draw_picture(axis, picture)
    return figure


def _draw_sizes(axis: Axes, values: dict[str, dict[str, list[float]]]) -> None:
    for number, (loader, found) in enumerate(values.items()):
        sizes = sorted(set(zip(found['width'], found['height'], strict=True)))
        widths, heights = zip(*sizes, strict=True) if sizes else ((), ())
        axis.scatter(widths, heights, s=6, color=COLORS[number], label=loader)
    axis.legend(fontsize=FONT_SIZE, markerscale=3)
    axis.set_xlabel(DISTRIBUTIONS['width'], fontsize=FONT_SIZE)
    axis.set_ylabel(DISTRIBUTIONS['height'], fontsize=FONT_SIZE)
    axis.tick_params(labelsize=FONT_SIZE)


def _draw_histogram(axis: Axes, name: str, values: dict[str, dict[str, list[float]]]) -> None:
    everything = [value for found in values.values() for value in found[name]]
    if everything:
        low, high = min(everything), max(everything)
        if name == 'share':  # masks span orders of magnitude
            axis.set_xscale('log')
            edges = np.geomspace(low * 0.99, high * 1.01, 31)
        else:
            edges = np.linspace(low - 0.5, high + 0.5, int(min(high - low + 2, 31)))
        for number, found in enumerate(values.values()):
            weights = np.full(len(found[name]), 100 / max(len(found[name]), 1))
            axis.hist(found[name], bins=edges, weights=weights, histtype='step', color=COLORS[number])
    axis.set_xlabel(DISTRIBUTIONS[name], fontsize=FONT_SIZE)
    axis.set_ylabel('percent of all', fontsize=FONT_SIZE)
    axis.tick_params(labelsize=FONT_SIZE)


def _draw_picture(axis: Axes, picture: Picture) -> None:
    masks = [mask for _, mask in picture.phrases if mask is not None]
    axis.imshow(spotlight_mask(picture.image, np.any(masks, axis=0)) if masks else picture.image)
    label = fit_text(picture.label, width=TEXT_WIDTH, fontsize=FONT_SIZE)
    axis.set_title(label, fontsize=FONT_SIZE, loc='left', **text_style(label))
    for number, (phrase, mask) in enumerate(picture.phrases):
        if mask is not None:
            axis.contour(mask, levels=[0.5], colors=[COLORS[number]], linewidths=1.5)
        phrase = fit_text(phrase if mask is not None else f'{phrase} (no target)', width=TEXT_WIDTH, fontsize=FONT_SIZE)
        place = {'xytext': (0, -9 * (number + 1)), 'textcoords': 'offset points', 'annotation_clip': False}
        axis.annotate(
            phrase, (0, 0), xycoords='axes fraction', fontsize=FONT_SIZE, color=COLORS[number], **place,
            **text_style(phrase),
        )  # fmt: skip


def _choose(sources: Sequence[Source]) -> Iterator[Picture]:
    """Yield pictures of all datasets, no image twice, up to :data:`NUM_PICTURES`."""
    shown: set[str] = set()
    for source in sources:
        number = min(-(-NUM_PICTURES // len(sources)), len(source.dataset), NUM_PICTURES - len(shown))
        for index in np.linspace(0, len(source.dataset) - 1, number).astype(int).tolist():
            path = source.dataset.get_data_info(index)['img_path']
            picture = None if path in shown else _picture(source, index)
            if picture is not None:
                shown.add(path)
                yield picture


def _picture(source: Source, index: int) -> Picture | None:
    """Load an item of a dataset; None where its image or masks cannot be read, which the report says."""
    item = source.dataset.get_data_info(index)
    distinct = {id(instance['mask']): place for place, instance in reversed(list(enumerate(item['instances'])))}
    places = sorted(distinct.values())[:MOST_MASKS]
    instances = [item['instances'][place] for place in places]
    try:
        with logged_warnings():
            item = source.load_image.transform({**item, 'instances': instances})
            masks = [None] * len(places) if source.load_masks is None else source.load_masks.transform(item)['gt_masks']
    except ValueError:
        return None
    image = item['image']
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    small = [
        None if instance['mask'] is None or mask is None
        else np.asarray(Image.fromarray(mask * 255).resize(image.size)) > 0
        for instance, mask in zip(instances, masks, strict=True)
    ]  # fmt: skip
    phrases = [item['text'][place] for place in places]
    return Picture(label=source.label, image=image, phrases=list(zip(phrases, small, strict=True)))
