"""Pictures of grounded phrases: image, attention, coarse mask, refined mask, truth.

Letters: M masks of a sample, C attention heads, (h, w) the grid in units, (IH, IW) the image in px.
"""

import textwrap

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from flmm.evaluation.grounding_metric import phrase_scores
from flmm.structures import GroundingSample

COLUMNS = ('image', 'attention', 'coarse', 'refined', 'truth')


def spotlight_mask(image: Image.Image, mask: Tensor) -> np.ndarray:
    """Keep the colours of ``image`` where ``mask`` [IH, IW] is True; the rest is dark and grey.

    Returns:
        [IH, IW, 3] float in 0..1.
    """
    pixels = np.asarray(image, dtype=np.float32) / 255
    return np.where(mask.cpu().numpy()[..., None], pixels, 0.35 * pixels.mean(axis=2, keepdims=True))


def attention_map(attentions: Tensor, image_size: tuple[int, int]) -> np.ndarray:
    """Average the channels of one phrase for display: [C, h, w] -> [IH, IW] in 0..1, smooth.

    Every channel counts the same: it is first divided by its sum, since heads differ by orders of magnitude in how much
    attention they spend on the image at all.
    """
    share = attentions / attentions.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    grid = share.mean(dim=0)[None, None]
    smooth = F.interpolate(grid, size=image_size, mode='bicubic', align_corners=False)[0, 0].clamp(min=0)
    return (smooth / smooth.max().clamp(min=1e-12)).cpu().numpy()


def draw_phrases(samples: list[GroundingSample], *, max_rows: int = 24) -> Figure:
    """Draw one row for each phrase, with the columns image, attention, coarse, refined, truth.

    Args:
        samples: predicted samples that still hold ``mask_attentions`` (``model(samples, mode='tensor')``).
        max_rows: later phrases are left out.

    Raises:
        ValueError: no sample, or one without predictions.
    """
    rows = [(sample, index) for sample in samples for index in range(sample.num_masks)][:max_rows]
    if not rows:
        raise ValueError('draw_phrases got no phrase to draw; pass at least one sample')
    figure = Figure(figsize=(2.1 * len(COLUMNS), 2.35 * len(rows)), layout='constrained')
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for row, (sample, index) in zip(axes, rows, strict=True):
        _draw_row(row, sample, index)
    return figure


@torch.no_grad()
def _draw_row(axes: np.ndarray, sample: GroundingSample, index: int) -> None:
    if sample.mask_attentions is None or sample.pred_masks is None or sample.sam_pred_masks is None:
        raise ValueError(f"sample of {sample.image_path!r} holds no predictions; draw what mode='tensor' returns")
    if sample.image is None:
        raise ValueError(f'sample of {sample.image_path!r} holds no image, as samples of stored features do not')
    coarse, refined = (score.iou for score in list(phrase_scores(sample))[index :: sample.num_masks])
    heat = attention_map(sample.mask_attentions[index], sample.image_size)
    pictures = {
        'image': np.asarray(sample.image),
        'attention': np.asarray(sample.image.convert('L').convert('RGB')),
        'coarse': spotlight_mask(sample.image, sample.pred_masks[index] > 0),
        'refined': spotlight_mask(sample.image, sample.sam_pred_masks[index] > 0),
        'truth': spotlight_mask(sample.image, sample.gt_masks[index]),
    }
    titles = {'coarse': f'coarse, IoU {coarse:.2f}', 'refined': f'refined, IoU {refined:.2f}'}
    for axis, column in zip(axes, COLUMNS, strict=True):
        axis.imshow(pictures[column])
        axis.set_axis_off()
        axis.set_title(titles.get(column, column), fontsize=8, loc='left')
    axes[0].set_title(textwrap.fill(f'"{sample.phrases[index]}"', 28), fontsize=8, loc='left')
    axes[1].imshow(heat, cmap='inferno', alpha=0.75)


def draw_heads(sample: GroundingSample, *, heads: dict[int, list[int]], mask_id: int = 0) -> Figure:
    """Draw the attention of one phrase, each head on its own: a row for each layer.

    Args:
        sample: a predicted sample.
        heads: of each layer, in the order of the channels: the model's ``heads``.
        mask_id: which phrase.
    """
    maps = iter(sample.mask_attentions[mask_id].detach().float().cpu())
    height, width = sample.mask_attentions.shape[-2:]
    num_rows, num_columns = len(heads), max(map(len, heads.values()))
    figure = Figure(figsize=(num_columns, num_rows * max(height / width, 0.5) + 0.5), layout='constrained')
    figure.suptitle(f'"{sample.phrases[mask_id]}": attention by layer and head', fontsize=8)
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (layer, of_layer) in zip(axes, heads.items(), strict=True):
        for axis, head in zip(row, of_layer, strict=False):  # a layer may have fewer heads than there are columns
            axis.imshow(next(maps), cmap='inferno')
            axis.set_title(f'{layer}.{head}', fontsize=6, pad=2)
    return figure
