"""What Qwen-VL models need to read an image by its token layout: features and positions.

They are Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5. The functions take the inner model (``lmm.model``), stock or
adaptive. They hand the stock methods the inputs that those would otherwise derive from a dense grid, so nothing of the
models is written again here.

Letters: B sequences of S tokens; I images, image i with T_i tokens on a grid of (h, w) units; m the merge size of the
vision tower (m x m patches make one token).
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    Qwen2_5_VLModel,
    Qwen2VLModel,
    Qwen3_5Model,
    Qwen3_5VisionModel,
    Qwen3VLModel,
    Qwen3VLVisionModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from flmm.apt.layout import TokenLayout

QwenModel = Qwen2VLModel | Qwen2_5_VLModel | Qwen3VLModel | Qwen3_5Model
IMAGE_TOKEN_TYPE, VIDEO_TOKEN_TYPE = 1, 2
"""What ``mm_token_type_ids`` holds where a token of an image or of a video is; text is 0."""


def layouts_from_inputs(
    image_layout: Tensor | None, image_num_tokens: Tensor | None, image_grid_thw: Tensor | None, *, merge_size: int
) -> list[TokenLayout]:
    """Split the layouts that the adaptive processors return, one for each image, and check them.

    Args:
        image_layout: [sum of T_i, 3] long, top, left and size in units of every image token, image after image.
        image_num_tokens: [I] long, T_i.
        image_grid_thw: [I, 3] long, the dense grid of each image in patches: 1, h * m, w * m.
        merge_size: m.

    Raises:
        ValueError: one of the three is missing, their sizes do not match, an image has several frames, or a layout
            does not cover its grid.
    """
    inputs = {'image_layout': image_layout, 'image_num_tokens': image_num_tokens, 'image_grid_thw': image_grid_thw}
    missing = [name for name, value in inputs.items() if value is None]
    if missing:
        given = [name for name in inputs if name not in missing]
        raise ValueError(
            f'got {" and ".join(given)} without {" and ".join(missing)}; pass all that the processor returns'
        )
    if image_layout.ndim != 2 or image_num_tokens.ndim != 1 or tuple(image_grid_thw.shape[1:]) != (3,):
        shapes = ', '.join(f'{name} {tuple(value.shape)}' for name, value in inputs.items())
        raise ValueError(
            f'expected image_layout (tokens, 3), image_num_tokens (images,), image_grid_thw (images, 3); got {shapes}'
        )
    counts, grids = image_num_tokens.tolist(), image_grid_thw.tolist()
    if len(counts) != len(grids):
        raise ValueError(f'image_num_tokens has {len(counts)} images, image_grid_thw has {len(grids)}')
    if sum(counts) != len(image_layout):
        raise ValueError(
            f'image_num_tokens {counts} add up to {sum(counts)} tokens, image_layout has {len(image_layout)}'
        )
    layouts = []
    for tokens, (t, rows, columns) in zip(image_layout.split(counts), grids, strict=True):
        if t != 1 or rows % merge_size or columns % merge_size:
            raise ValueError(
                f'image_grid_thw has an image of {[t, rows, columns]} patches; a layout needs one frame and sides that '
                f'are multiples of {merge_size}'
            )
        layout = TokenLayout(tokens=tokens, grid_size=(rows // merge_size, columns // merge_size))
        layout.check()
        layouts.append(layout)
    return layouts


def image_features(
    model: QwenModel,
    pixel_values: Tensor,
    image_grid_thw: Tensor,
    layouts: Sequence[TokenLayout],
    **kwargs: object,
) -> BaseModelOutputWithPooling:
    """Run the vision tower over images whose tokens differ in size.

    A patch sits at its centre for the rotary embedding of the tower, and so it does for the learned one of Qwen3-VL
    and Qwen3.5. In Qwen2.5-VL a token attends within the windows that it lies in, which are as large in px as in the
    dense run.

    Args:
        model: the inner model, stock or adaptive.
        pixel_values: [m * m * sum of T_i, channels * frames * P * P], the patches of each token in layout order; P is
            the side in px that the tower reads them at.
        image_grid_thw: [I, 3] long, the dense grid of each image in patches.
        layouts: the layout of each image.
        **kwargs: what ``get_image_features`` of the stock model takes.

    Returns:
        What ``get_image_features`` returns: ``pooler_output`` is a tuple of [T_i, hidden_size]. Qwen3-VL adds
        ``deepstack_features``, a tuple like it for each of the first text layers.

    Raises:
        ValueError: ``pixel_values`` or ``image_grid_thw`` is not that of the layouts, or a token of Qwen2.5-VL does
            not fit into an attention window.
    """
    merge_size, device = model.visual.spatial_merge_size, pixel_values.device
    _check_grids(layouts, image_grid_thw, merge_size)
    counts = [len(layout) for layout in layouts]
    if len(pixel_values) != sum(counts) * merge_size**2:
        raise ValueError(
            f'pixel_values has {len(pixel_values)} patches, the image layouts have {sum(counts)} tokens of '
            f'{merge_size**2} patches each'
        )
    patch_centres = [layout.patch_centres(merge_size=merge_size) for layout in layouts]
    kwargs['position_ids'] = torch.cat(patch_centres).to(device)  # [m * m * sum of T_i, 2]
    config = model.config.vision_config
    if isinstance(model, Qwen2_5_VLModel):
        window_size = config.window_size // config.patch_size // merge_size
        orders, sizes = zip(*(layout.windows(window_size) for layout in layouts), strict=True)
        before = accumulate(counts[:-1], initial=0)
        kwargs['window_index'] = torch.cat([order + start for order, start in zip(orders, before, strict=True)]).to(
            device
        )
        ends = torch.cat(sizes).cumsum(0) * merge_size**2
        kwargs['cu_window_seqlens'] = F.pad(ends, (1, 0)).to(device, torch.int32)
    elif isinstance(model, Qwen3VLModel | Qwen3_5Model):
        indices, weights = _learned_positions(model.visual, layouts, patch_centres)
        kwargs |= {'interp_indices': indices.to(device), 'interp_weights': weights.to(device)}
    # To the tower each image is one row of its tokens: with the above given, it reads lengths alone from the grid.
    grid = torch.tensor([[1, merge_size, merge_size * count] for count in counts], device=image_grid_thw.device)
    return model.get_image_features(pixel_values, grid, **{'return_dict': True} | kwargs)


def _learned_positions(
    visual: Qwen3VLVisionModel | Qwen3_5VisionModel, layouts: Sequence[TokenLayout], patch_centres: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Say what a patch takes from the square table of learned positions: [patches, 4] indices, and their weights.

    The corners of an image are those of the table, and centres of patches lie at whole and half patches. So half steps
    on its grid are whole steps on a grid of twice as many steps, for which the stock method gives the answer.
    """
    found = []
    for layout, centres in zip(layouts, patch_centres, strict=True):
        rows, columns = (2 * visual.spatial_merge_size * side - 1 for side in layout.grid_size)
        table = get_vision_interpolation_indices_and_weights(
            torch.tensor([[1, rows, columns]], device=centres.device),
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
        )
        row, column = (2 * centres).long().unbind(1)
        found.append([values[row * columns + column] for values in table])
    indices, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return indices, weights


def position_ids(
    model: QwenModel,
    input_ids: Tensor,
    *,
    mm_token_type_ids: Tensor,
    image_grid_thw: Tensor,
    layouts: Sequence[TokenLayout],
    attention_mask: Tensor | None = None,
    **kwargs: object,
) -> tuple[Tensor, Tensor]:
    """Rotary positions in the language model of sequences with images whose tokens differ in size.

    An image token sits at its centre, as many units from the start of its image as it is there; text has the position
    that it has in the dense run, in which an image takes max(h, w) positions.

    Args:
        model: the inner model, stock or adaptive.
        input_ids: [B, S] long, with T_i placeholders in a run for image i, the images in order of the batch.
        mm_token_type_ids: [B, S], 0 for text, 1 for image and 2 for video tokens.
        image_grid_thw: [I, 3] long, the dense grid of each image in patches.
        layouts: the layout of each image.
        attention_mask: [B, S], 0 where a token is padding; None if none is.
        **kwargs: what else ``get_rope_index`` of the stock model reads, such as ``video_grid_thw``.

    Returns:
        [3, B, S], time, row and column of each token: float, or long if every token covers one unit; and [B, 1] long,
        what to add to the index of a later token to get its position.

    Raises:
        ValueError: the runs of placeholders are not those of the layouts, or ``image_grid_thw`` is not theirs.
    """
    _check_grids(layouts, image_grid_thw, model.config.vision_config.spatial_merge_size)
    device = input_ids.device
    counts = torch.tensor([len(layout) for layout in layouts], device=device)
    present = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    is_image = (mm_token_type_ids == IMAGE_TOKEN_TYPE) & (present != 0)
    is_first = is_image & ~F.pad(is_image[:, :-1], (1, 0))
    runs = torch.bincount(is_first.flatten().cumsum(0)[is_image.flatten()] - 1)
    if not torch.equal(runs, counts):
        raise ValueError(
            f'input_ids has runs of {runs.tolist()} image placeholders, the image layouts have {counts.tolist()} '
            'tokens; an adaptive processor makes both, a stock one counts the tokens of the dense grid'
        )
    stock_inputs = {'image_grid_thw': image_grid_thw, **kwargs}
    if all(layout.is_dense for layout in layouts):
        return model.get_rope_index(
            input_ids, mm_token_type_ids=mm_token_type_ids, attention_mask=attention_mask, **stock_inputs
        )
    # The stock method places the dense run. The first token of an image stands for the ones that the image lacks too.
    repeats = torch.ones_like(input_ids)
    num_units = torch.tensor([h * w for h, w in (layout.grid_size for layout in layouts)], device=device)
    repeats[is_first] += num_units - counts
    ends = repeats.cumsum(1)
    dense_index = torch.arange(int(ends[:, -1].max()), device=device).repeat(len(input_ids), 1)
    source = torch.searchsorted(ends, dense_index, right=True).clamp(max=input_ids.shape[1] - 1)
    positions, deltas = model.get_rope_index(
        input_ids.gather(1, source),  # [B, dense S]
        mm_token_type_ids=mm_token_type_ids.gather(1, source),
        attention_mask=present.gather(1, source) * (dense_index < ends[:, -1:]),
        **stock_inputs,
    )
    positions = positions.gather(2, (ends - repeats).expand(3, -1, -1)).float()  # [3, B, S]
    centres = torch.cat([layout.centres() for layout in layouts]).to(device)  # [sum of T_i, 2]
    # Time stands still over an image: its first row holds the position at which the image starts.
    positions[1:, is_image] = positions[0, is_image] + centres.T
    return positions, deltas + (repeats - 1).sum(1, keepdim=True)


def _check_grids(layouts: Sequence[TokenLayout], image_grid_thw: Tensor, merge_size: int) -> None:
    expected = [[1, h * merge_size, w * merge_size] for h, w in (layout.grid_size for layout in layouts)]
    if image_grid_thw.tolist() != expected:
        raise ValueError(f'image_grid_thw is {image_grid_thw.tolist()}, the image layouts lie on grids of {expected}')
