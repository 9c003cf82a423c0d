"""Frames, and the boxes of masks.

Frames describe the same picture:

- the *processed frame* [H, W] is what the LMM's image processor makes: the resized image, padded where the processor
  pads. The attention maps and the coarse logits cover it, padding included, with a grid of any size.
- the *image frame* [IH, IW] is the original image. Final masks and ground truth live here.
- the *SAM frame* is what a SAM reads: :class:`flmm.models.sam.SamFrame`.

Letters: N masks, (H, W) and (IH, IW) as above in px, (h, w) any grid over the processed frame. Sizes are (height,
width), boxes are XYXY in px. All resampling takes a pixel as an area (``align_corners=False``).
"""

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor


class FrameSize(TypedDict):
    """A size in px."""

    height: int
    width: int


class FramePadding(TypedDict):
    """Padding of a frame in px, on the four sides of the image; negative where the frame cuts the image off."""

    before_height: int
    after_height: int
    before_width: int
    after_width: int


class FrameMetaData(TypedDict):
    """How the processed frame was made from the image; :func:`frame_meta_data` fills it in.

    Keys:
        original_shape: (IH, IW), the image frame.
        image_shape: size of the image inside the processed frame.
        padding: what was added around it, or cut from it.
        padded_shape: (H, W), the processed frame: ``image_shape`` plus ``padding``.
        scale_factor: (x, y), ``image_shape / original_shape``.
    """

    original_shape: FrameSize
    image_shape: FrameSize
    padding: FramePadding
    padded_shape: FrameSize
    scale_factor: tuple[float, float]


def frame_meta_data(
    original_size: Sequence[int], image_size: Sequence[int], padding: Sequence[int] = (0, 0, 0, 0)
) -> FrameMetaData:
    """Describe a processed frame.

    Args:
        original_size: (IH, IW) of the original image.
        image_size: (height, width) of the image inside the processed frame.
        padding: px (before_height, after_height, before_width, after_width) around it. Negative numbers cut the image,
            as LLaVA-NeXT does where the padding that it removes is no multiple of its patches.

    Raises:
        ValueError: a size is not positive, or nothing of the image is left.
    """
    (original_height, original_width), (height, width) = original_size, image_size
    before_height, after_height, before_width, after_width = padding
    if min(*original_size, *image_size) < 1:
        raise ValueError(f'sizes must be at least 1 px, got original_size={original_size}, image_size={image_size}')
    left = (height + min(before_height, 0) + min(after_height, 0), width + min(before_width, 0) + min(after_width, 0))
    if min(left) < 1:
        raise ValueError(f'padding {padding} leaves nothing of an image of (height, width) {(height, width)}')
    return FrameMetaData(
        original_shape=FrameSize(height=original_height, width=original_width),
        image_shape=FrameSize(height=height, width=width),
        padding=FramePadding(
            before_height=before_height,
            after_height=after_height,
            before_width=before_width,
            after_width=after_width,
        ),
        padded_shape=FrameSize(height=before_height + height + after_height, width=before_width + width + after_width),
        scale_factor=(width / original_width, height / original_height),
    )


def resize_logits(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Resample [N, h, w] to [N, *size], bilinear, in float32 (N may be 0)."""
    return F.interpolate(logits.float()[:, None], size=tuple(size), mode='bilinear', align_corners=False)[:, 0]


def processed_to_image(logits: Tensor, meta_data: FrameMetaData) -> Tensor:
    """Bring logits from the processed frame to the image frame.

    Padding is cut off before the final resampling, so none of it bleeds into the image. Where its border falls between
    two grid cells, the grid is first resampled to the px of the processed frame. Where the frame cuts the image off,
    the logits at its border are repeated.

    Args:
        logits: [N, h, w], a grid of any resolution that covers the whole processed frame, padding included.
        meta_data: the frames.

    Returns:
        [N, IH, IW] float32, differentiable in ``logits``.

    Raises:
        ValueError: ``logits`` is not [N, h, w].
    """
    if logits.ndim != 3:
        raise ValueError(f'logits must be [N, h, w], got shape {tuple(logits.shape)}')
    frame, padding = meta_data['padded_shape'], meta_data['padding']
    before = (padding['before_height'], padding['before_width'])
    after = (padding['after_height'], padding['after_width'])
    if any((*before, *after)):
        sides, grid = (frame['height'], frame['width']), logits.shape[-2:]
        starts = [max(pad, 0) for pad in before]
        ends = [side - max(pad, 0) for side, pad in zip(sides, after, strict=True)]
        cuts = [max(-pad, 0) for pad in (before[1], after[1], before[0], after[0])]  # in the order of F.pad
        aligned = not any(cuts) and all(
            start * cells % side == 0 and end * cells % side == 0
            for start, end, side, cells in zip(starts, ends, sides, grid, strict=True)
        )
        if not aligned:
            grid = sides
            logits = resize_logits(logits, grid)
        rows, columns = (
            slice(start * cells // side, end * cells // side)
            for start, end, side, cells in zip(starts, ends, sides, grid, strict=True)
        )
        logits = logits[:, rows, columns]
        if any(cuts):  # what the frame does not show is like its border
            logits = F.pad(logits[:, None], cuts, mode='replicate')[:, 0]
    original = meta_data['original_shape']
    return resize_logits(logits, (original['height'], original['width']))


def image_to_processed(masks: Tensor, meta_data: FrameMetaData) -> Tensor:
    """Bring truth from the image frame to the processed frame; padding is False.

    Each target pixel takes the source pixel under its centre (``nearest-exact``). That keeps a mask's area on average
    whatever its thickness, while "at least half of the target pixel's area" would erase every structure thinner than
    half a target pixel.

    Args:
        masks: [N, IH, IW] bool.
        meta_data: the frames.

    Returns:
        [N, H, W] bool.

    Raises:
        ValueError: ``masks`` is not bool, or not in the image frame of ``meta_data``.
    """
    original, content, padding = (meta_data[key] for key in ('original_shape', 'image_shape', 'padding'))
    if masks.dtype != torch.bool or masks.ndim != 3:
        raise ValueError(f'masks must be bool [N, IH, IW], got {masks.dtype} of shape {tuple(masks.shape)}')
    if masks.shape[-2:] != (original['height'], original['width']):
        raise ValueError(
            f'masks of size {tuple(masks.shape[-2:])} do not lie in the image frame '
            f'{(original["height"], original["width"])}; pass masks of the original image'
        )
    resized = F.interpolate(
        masks[:, None].to(torch.uint8), size=(content['height'], content['width']), mode='nearest-exact'
    )[:, 0]
    sides = [padding[side] for side in ('before_width', 'after_width', 'before_height', 'after_height')]
    return F.pad(resized, sides).bool()


def image_cells(meta_data: FrameMetaData, grid_size: Sequence[int]) -> tuple[slice, slice]:
    """Say which rows and columns of a grid over a frame show the image: the cells whose centre lies in it.

    A sliver of an image that holds no centre has one cell all the same, that which shows the most of it.

    >>> image_cells(frame_meta_data((100, 200), (192, 384), (96, 96, 0, 0)), (24, 24))
    (slice(6, 18, None), slice(0, 24, None))
    """
    found = []
    for axis, cells in zip(('height', 'width'), grid_size, strict=True):
        before, side = meta_data['padding'][f'before_{axis}'], meta_data['padded_shape'][axis]
        ends = (max(before, 0), min(before + meta_data['image_shape'][axis], side))
        first, last = (math.ceil(end * cells / side - 0.5) for end in ends)
        if first == last:
            first = sum(ends) * cells // (2 * side)
            last = first + 1
        found.append(slice(first, last))
    return found[0], found[1]


def frame_of_cells(meta_data: FrameMetaData, grid_size: Sequence[int], cells: tuple[slice, slice]) -> FrameMetaData:
    """Describe what is left of a frame when some rows and columns of a grid over it are cut out.

    Its unit is a px divided by the number of rows, or of columns: borders of cells are whole numbers of it.

    >>> meta_data = frame_meta_data((100, 200), (5, 10), (2, 3, 0, 0))  # 10 x 10 px
    >>> frame_of_cells(meta_data, (4, 1), (slice(1, 3), slice(0, 1)))['padding']['before_height']  # -0.5 px
    -2
    """
    sizes, padding = [], []
    for axis, number, kept in zip(('height', 'width'), grid_size, cells, strict=True):
        side = meta_data['padded_shape'][axis]
        sizes.append(meta_data['image_shape'][axis] * number)
        before = meta_data['padding'][f'before_{axis}'] * number - kept.start * side
        padding += [before, (kept.stop - kept.start) * side - sizes[-1] - before]
    original = meta_data['original_shape']
    return frame_meta_data((original['height'], original['width']), sizes, padding)


def whole_cells(meta_data: FrameMetaData, grid_size: Sequence[int]) -> tuple[slice, slice]:
    """Say which rows and columns of a grid over a frame F-LMM takes for the image.

    The first is the one in which the image begins, and their number is its length in cells, rounded: up to a cell off.

    >>> whole_cells(frame_meta_data((427, 640), (224, 336), (56, 56, 0, 0)), (64, 64))  # 10.7 cells, then 42.7
    (slice(10, 53, None), slice(0, 64, None))
    """
    found = []
    for axis, cells in zip(('height', 'width'), grid_size, strict=True):
        side = meta_data['padded_shape'][axis]
        first = max(meta_data['padding'][f'before_{axis}'], 0) * cells // side
        length = max(math.floor(meta_data['image_shape'][axis] * cells / side + 0.5), 1)
        found.append(slice(first, min(first + length, cells)))
    return found[0], found[1]


def resample_view(
    values: Tensor,
    source: FrameMetaData,
    target: FrameMetaData,
    grid_size: Sequence[int],
    *,
    mode: Literal['bilinear', 'bicubic'] = 'bilinear',
) -> Tensor:
    """Bring values from the grid of one view of an image to the grid of another.

    Where ``source`` does not show what a cell of ``target`` does, that gets the value at its border. For two views that
    show the whole image this is ``F.interpolate`` to the size of the other grid.

    Args:
        values: [M, C, h, w] on a grid over the frame ``source``.
        source: the frame that the values lie in.
        target: another frame of the same image.
        grid_size: (h', w'), the grid over the frame ``target``.
        mode: how values between the centres of cells follow from those of the cells.

    Returns:
        [M, C, h', w'] float32.
    """
    axes = []
    for axis, cells in zip(('height', 'width'), grid_size, strict=True):
        centres = (torch.arange(cells, device=values.device, dtype=torch.float64) + 0.5) / cells
        in_image = (centres * target['padded_shape'][axis] - target['padding'][f'before_{axis}']) / (
            target['image_shape'][axis]
        )
        in_source = in_image * source['image_shape'][axis] + source['padding'][f'before_{axis}']
        axes.append(in_source / source['padded_shape'][axis] * 2 - 1)  # -1 and 1 are the borders of the frame
    rows, columns = torch.meshgrid(*axes, indexing='ij')
    places = torch.stack([columns, rows], dim=-1).float()  # [h', w', (x, y)]
    places = places.expand(len(values), -1, -1, -1)
    return F.grid_sample(values.float(), places, mode=mode, padding_mode='border', align_corners=False)


def area_coverage(masks: Tensor, grid_size: Sequence[int]) -> Tensor:
    """Tell how much of each cell of a grid a mask covers.

    Args:
        masks: [N, H, W], boolean or 0..1, in any frame.
        grid_size: (h, w) of the grid that lies over the frame.

    Returns:
        [N, h, w] float in 0..1: a cell that a mask half fills has 0.5. A pixel that cells share counts for each.
    """
    return F.interpolate(masks[None].float(), size=tuple(grid_size), mode='area')[0]


def largest_components(masks: Tensor) -> Tensor:
    """Keep of each mask its largest connected part, by pixels; of equal ones the first.

    Pixels that touch at a corner are connected. An empty mask stays empty.

    Args:
        masks: [N, H, W] bool, any frame.

    Returns:
        [N, H, W] bool, on the same device.
    """
    neighbours = torch.zeros(3, 3, 3, dtype=torch.bool)
    neighbours[1] = True  # within a mask, not from one mask to the next
    labels = torch.from_numpy(ndimage.label(masks.cpu().numpy(), structure=neighbours.numpy())[0]).to(masks.device)
    kept = [each == each[each > 0].bincount().argmax() if each.any() else each > 0 for each in labels]
    return torch.stack(kept) if kept else masks.clone()


def nonempty(masks: Tensor) -> Tensor:
    """Say which masks have a pixel.

    Args:
        masks: [N, H, W] bool, any frame.

    Returns:
        [N] bool.
    """
    return _as_bytes(masks).amax(dim=(1, 2)) > 0


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Tight boxes around masks.

    As in ``torchvision.ops.masks_to_boxes``, (x1, y1) is the last foreground pixel, not one past it: a mask that is
    True everywhere has the box (0, 0, W - 1, H - 1). An empty mask, whose place is unknown, gets that same box, the
    whole frame. F-LMM adds one pixel to (x2, y2) in both cases.

    Args:
        masks: [N, H, W] bool, any frame.

    Returns:
        [N, 4] float32 XYXY in px of that frame.
    """
    values = _as_bytes(masks)
    rows, columns = values.amax(dim=2), values.amax(dim=1)
    height, width = masks.shape[-2:]
    boxes = torch.stack(
        [  # argmax gives the first of equal values; an empty row of flags gives 0, hence the whole side
            columns.argmax(dim=1),
            rows.argmax(dim=1),
            width - 1 - columns.flip(1).argmax(dim=1),
            height - 1 - rows.flip(1).argmax(dim=1),
        ],
        dim=1,
    )
    return boxes.float()


def _as_bytes(masks: Tensor) -> Tensor:
    """Masks as 0 and 1, without a copy: on a CPU amax() of these is 50 times faster than any() of torch 2.15."""
    if masks.dtype != torch.bool:  # of others each byte would be a pixel
        raise ValueError(f'masks are of {masks.dtype}, expected torch.bool')
    return masks.view(torch.uint8)
