"""A mask head that nobody trains: what a few chosen attention heads look at, above a threshold.

Letters: N masks, C channels (attention heads), (h, w) the grid of the attention maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm.registry import MODELS

RADIUS, SIGMA = 3, 1.0
"""Of the Gaussian, in cells: 7 x 7 of them, as LocalizationHeads has it."""


@MODELS.register_module()
class AttentionThreshold(nn.Module):
    """Attention maps -> coarse logits without weights, as LocalizationHeads does it (arXiv 2503.06287, CVPR 2025).

    The maps are added up and smoothed; the mask is where the sum is above its mean. The mean is over the cells that
    show the image. Attention to padding counts for nothing: smoothing weights those of a cell's 7 x 7 neighbours that
    show the image by a Gaussian.

    How good the masks are depends on the heads: the paper has three, and tools/select_heads.py finds them.

    Args:
        in_channels: C, the number of attention heads that are read.
        threshold: the mask is where the sum is above so many times its mean; 1 in the paper.

    >>> AttentionThreshold(in_channels=1)(torch.eye(9)[None, None])[0] > 0  # the diagonal, smoothed
    """

    def __init__(self, *, in_channels: int, threshold: float = 1.0) -> None:
        super().__init__()
        self.in_channels, self.threshold = in_channels, threshold
        weights = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
        weights /= weights.sum()
        self.register_buffer('kernel', torch.outer(weights, weights)[None, None], persistent=False)  # [1, 1, 7, 7]

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Predict coarse masks.

        Args:
            x: [N, C, h, w], attention of N phrases, not negative.
            inside: [N, h, w] bool, the cells that show the image. None: all.

        Returns:
            [N, h, w] float32 logits over the same area as ``x``: smoothed attention as a multiple of its mean, less
            ``threshold``. Cells of padding continue what is beside them. Where no head looks at the image at all, the
            mask is empty.

        Raises:
            ValueError: ``x`` is not [N, C, h, w].
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'attention maps must be [N, {self.in_channels}, h, w], got shape {tuple(x.shape)}; '
                'in_channels is the number of attention heads that are read'
            )
        inside = torch.ones_like(x[:, 0]) if inside is None else inside.float()  # [N, h, w]
        # Smoothing is linear: that of the sum is the sum of those of the maps. Half precision has no number as small as
        # what is divided by far from the image.
        with torch.autocast(x.device.type, enabled=False):
            attention = self._neighbours(x.float().sum(dim=1) * inside) / self._neighbours(inside).clamp(min=1e-12)
        mean = (attention * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2))  # [N]
        return attention / mean.clamp(min=1e-12)[:, None, None] - self.threshold

    def _neighbours(self, values: Tensor) -> Tensor:
        return F.conv2d(values[:, None], self.kernel, padding=RADIUS)[:, 0]  # [N, h, w]
