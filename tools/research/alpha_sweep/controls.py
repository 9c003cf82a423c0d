"""Controls: what fewer tokens cost when nobody looks for content, and when one knows where it is.

Each takes a dense sample, and its budget, alpha times the patches of the grid, counted in tokens as
``PatchTokenizer`` counts them:

- 'drop' keeps as many of the dense tokens, drawn by lot; the others are gone, attention there is 0.
- 'downsample' shrinks the whole image until its dense grid has at most as many tokens.
- 'even' has no budget: it reads everything by tokens of 2x2 units, single ones where those do not fit.
- The oracles run the budget selection on what the annotations say of the scene's objects: how much of a patch they
  cover ('oracle_area'), how much of it lies on one's border ('oracle_edge'), or whether the token of 2x2 units around
  it touches one ('oracle_touch'). Scores of the last tie, and ties split all the larger tokens first: every object is
  seen at middling resolution before any is seen at full.

Letters: (h, w) the dense grid in units, (H, W) = (28 h, 28 w) the processed frame in px, T tokens, s the size of one.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from flmm.apt.layout import SIZES, TokenLayout
from flmm.apt.patch_selection import PatchSelection
from flmm.apt.patch_tokenizer import PatchTokenizer
from flmm.datasets import QwenImageProcessorWrapper
from flmm.geometry import FrameMetaData, frame_meta_data, image_to_processed
from flmm.qwen.layout_patches import patches_of_layout
from flmm.structures import GroundingSample

MERGE_SIZE, UNIT_PIXELS = 2, 28
"""Of the demo's LMM: 2x2 patches of 14 px make a token."""


class PartialLayout(TokenLayout):
    """A layout with holes: units that no token covers."""

    @property
    def is_dense(self) -> bool:
        """Whether every unit has its own token."""
        return len(self) == math.prod(self.grid_size)

    def check(self) -> None:
        """Check bounds and order, which is what is left to check."""
        h, w = self.grid_size
        top, left, size = self.tokens.unbind(1)
        self._refuse((top < 0) | (left < 0) | (top + size > h) | (left + size > w), f'reaches outside {h}x{w} units')
        self._refuse(F.pad((top * w + left).diff() <= 0, (1, 0)), 'is out of order; sort by (top, left)')


def drop(sample: GroundingSample, alpha: float, *, seed: int | str) -> GroundingSample:
    """Keep tokens by lot; those of a lower alpha are among those of a higher one."""
    num_tokens = len(budget_layout(torch.zeros(patch_grid(sample)), alpha))
    seeds = np.random.SeedSequence(list(str(seed).encode()))
    order = np.random.default_rng(seeds).permutation(len(sample.layout))
    kept = torch.from_numpy(order[:num_tokens]).sort().values
    return prune(sample, PartialLayout(tokens=sample.layout.tokens[kept], grid_size=sample.grid_size))


def downsample(sample: GroundingSample, alpha: float, *, image_processor: QwenImageProcessorWrapper) -> GroundingSample:
    """Shrink the image to a grid of at most as many tokens; the image frame, in which masks are scored, stays."""
    num_tokens = len(budget_layout(torch.zeros(patch_grid(sample)), alpha))
    h, w = smaller_grid(sample.grid_size, num_tokens)
    small = sample.image.resize((w * UNIT_PIXELS, h * UNIT_PIXELS), Image.Resampling.BICUBIC)
    processed = image_processor.preprocess(small, prompt='')
    meta_data = frame_meta_data(
        original_size=(sample.image.height, sample.image.width), image_size=(small.height, small.width)
    )
    return _with_layout(
        sample,
        processed.views[0].layout,
        lmm_inputs=processed.lmm_inputs,
        meta_data=meta_data,
        masks=image_to_processed(sample.gt_masks, meta_data),
    )


def smaller_grid(grid_size: tuple[int, int], num_tokens: int) -> tuple[int, int]:
    """Find the grid of at most ``num_tokens`` that shrinks neither side more than it must; of several the largest."""
    h, w = grid_size
    grids = [(rows, min(w, num_tokens // rows)) for rows in range(1, min(h, num_tokens) + 1)]
    return max(grids, key=lambda grid: (min(grid[0] / h, grid[1] / w), grid[0] * grid[1]))


def even(sample: GroundingSample) -> GroundingSample:
    """Read everything by tokens of one size, 2x2 units, and what is left at the borders by single units."""
    # A budget of next to nothing: no token is split.
    return prune(sample, budget_layout(torch.zeros(patch_grid(sample)), 1e-6, max_token_size=2))


def oracle(sample: GroundingSample, alpha: float, *, objects: Tensor, kind: str) -> GroundingSample:
    """Spend the budget where the objects are.

    Args:
        sample: dense.
        alpha: the budget.
        objects: [objects, IH, IW] bool, the masks of all objects of the scene in the image frame.
        kind: one of ``alpha_sweep.conditions.ORACLES``.
    """
    masks = image_to_processed(objects, sample.meta_data)
    shown = (borders(masks) if kind == 'oracle_edge' else masks.any(dim=0))[None].float()
    patch = UNIT_PIXELS // MERGE_SIZE
    importance = F.avg_pool2d(shown, patch)
    if kind == 'oracle_touch':
        across = 2 * MERGE_SIZE
        touched = F.max_pool2d(shown, across * patch, ceil_mode=True)
        rows, columns = patch_grid(sample)
        importance = touched.repeat_interleave(across, dim=1).repeat_interleave(across, dim=2)[:, :rows, :columns]
    return prune(sample, budget_layout(importance[0], alpha))


def borders(masks: Tensor) -> Tensor:
    """Find the pixels that differ from one of their 4 neighbours in some mask: [N, H, W] bool -> [H, W] bool."""
    found = torch.zeros(masks.shape[1:], dtype=torch.bool)
    across = (masks[:, 1:] != masks[:, :-1]).any(dim=0)
    along = (masks[:, :, 1:] != masks[:, :, :-1]).any(dim=0)
    found[1:] |= across
    found[:-1] |= across
    found[:, 1:] |= along
    found[:, :-1] |= along
    return found


def patch_grid(sample: GroundingSample) -> tuple[int, int]:
    """(2 h, 2 w), the dense grid in patches of 14 px."""
    h, w = sample.grid_size
    return h * MERGE_SIZE, w * MERGE_SIZE


def budget_layout(importance: Tensor, alpha: float, *, max_token_size: int = 4) -> TokenLayout:
    """Select by budget from the importance of the 14 px patches, [2 h, 2 w]: its other two maps follow from it."""
    base = importance[None]
    maps = {
        14 * size: F.avg_pool2d(base, size, ceil_mode=True, count_include_pad=False) if size > 1 else base
        for size in SIZES
    }
    selection = PatchSelection(patch_selection_method='budget', alpha=alpha, max_token_size=max_token_size)
    tokenizer = PatchTokenizer(selection=selection, merge_size=MERGE_SIZE)
    masks = tokenizer.construct_masks(maps)
    return TokenLayout.from_masks(masks, merge_size=MERGE_SIZE)[0]


def prune(sample: GroundingSample, layout: TokenLayout) -> GroundingSample:
    """Give a dense sample the tokens of ``layout``: what the image processor makes of the image with that layout."""
    pixels = patches_of_layout(sample.lmm_inputs['pixel_values'], layout, merge_size=MERGE_SIZE)
    return _with_layout(sample, layout, lmm_inputs={**sample.lmm_inputs, 'pixel_values': pixels})


def _with_layout(
    sample: GroundingSample,
    layout: TokenLayout,
    *,
    lmm_inputs: dict[str, Tensor],
    meta_data: FrameMetaData | None = None,
    **changes: Any,
) -> GroundingSample:
    """The sample with as many of its image tokens as ``layout`` has."""
    (view,) = sample.views
    kept = torch.ones(len(sample.input_ids), dtype=torch.bool)
    kept[view.columns[len(layout) :]] = False
    view = replace(view, columns=view.columns[: len(layout)], layout=layout, meta_data=meta_data or view.meta_data)
    return replace(
        sample,
        input_ids=sample.input_ids[kept],
        mask_ids=sample.mask_ids[kept],
        prompt_length=int(kept[: sample.prompt_length].sum()),
        lmm_inputs=lmm_inputs,
        views=[view],
        **changes,
    )
