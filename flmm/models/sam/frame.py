"""The SAM frame: where an image lies in the square that a SAM reads, and the way there and back.

Letters: N masks, (IH, IW) the image frame in px, L the side of the SAM frame in px, (h, w) any grid over the SAM frame.
Sizes are (height, width), boxes are XYXY in px. All resampling takes a pixel as an area (``align_corners=False``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.geometry import resize_logits


@dataclass(frozen=True, kw_only=True)
class SamFrame:
    """The square of L x L px that a SAM reads.

    SAM and SAM-HQ resize the image so that its longer side is L, put it at the top left and pad the rest. SAM 2 and
    EdgeTAM squash it to the square.

    Args:
        side: L.
        squashed: the image fills the square, whatever its aspect ratio.

    >>> SamFrame(side=1024).content_size((480, 640)), SamFrame(side=1024, squashed=True).content_size((480, 640))
    ((768, 1024), (1024, 1024))
    """

    side: int
    squashed: bool = False

    def content_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """(height, width) that an image of (IH, IW) takes up at the top left of the SAM frame.

        Rounds as ``segment_anything.utils.transforms.ResizeLongestSide`` does.

        Raises:
            ValueError: the image is so thin that nothing of it is left.
        """
        if self.squashed:
            return self.side, self.side
        scale = self.side * 1.0 / max(image_size)
        height, width = (int(side * scale + 0.5) for side in image_size)
        if min(height, width) < 1:
            raise ValueError(
                f'an image of (height, width) {tuple(image_size)} is less than half a pixel thick in a SAM frame of '
                f'{self.side} px; crop it to an aspect ratio below {2 * self.side}:1'
            )
        return height, width

    def boxes_from_image(self, boxes: Tensor, image_size: Sequence[int]) -> Tensor:
        """Bring boxes from the image frame to the SAM frame.

        Args:
            boxes: [N, 4] XYXY in px of the image frame.
            image_size: (IH, IW).

        Returns:
            [N, 4] float32 XYXY in px of the SAM frame, as SAM's prompt encoder takes them.
        """
        height, width = self.content_size(image_size)
        scale_x, scale_y = width / image_size[1], height / image_size[0]
        return boxes.float() * boxes.new_tensor([scale_x, scale_y, scale_x, scale_y], dtype=torch.float32)

    def logits_from_image(self, logits: Tensor, grid_size: Sequence[int]) -> Tensor:
        """Bring logits from the image frame to a grid over the SAM frame.

        In a padded frame they go the way of the image itself: resized to the image's place in the SAM frame, padded to
        the square, then resampled to the grid, so that cell and image content coincide for every aspect ratio. The
        padding of a mask is filled with the lower of -1 and its own lowest logit: background to SAM, even if the mask
        is foreground everywhere, and independent of the other masks.

        Args:
            logits: [N, IH, IW].
            grid_size: (h, w) of the grid, e.g. (256, 256) for SAM's mask prompt with L = 1024.

        Returns:
            [N, h, w] float32.
        """
        if self.squashed:
            return resize_logits(logits, grid_size)
        height, width = self.content_size(logits.shape[-2:])
        fill = logits.float().amin(dim=(1, 2)).clamp(max=-1.0)
        square = fill[:, None, None].repeat(1, self.side, self.side)
        square[:, :height, :width] = resize_logits(logits, (height, width))
        return resize_logits(square, grid_size)

    def logits_to_image(self, logits: Tensor, image_size: Sequence[int]) -> Tensor:
        """Bring logits from a grid over the SAM frame to the image frame.

        What ``segment_anything.modeling.Sam.postprocess_masks`` does in three steps (resample to the SAM frame, cut the
        padding off, resample to the image) is linear along each axis: one matrix for the rows and one for the columns
        do the same, without the px of the SAM frame in memory, and several times faster backward. From a squashed frame
        it is one resampling, as in transformers' ``Sam2Processor.post_process_masks``.

        Args:
            logits: [N, h, w], the whole SAM frame.
            image_size: (IH, IW).

        Returns:
            [N, IH, IW] float32, differentiable in ``logits``.
        """
        if self.squashed:
            return resize_logits(logits, image_size)
        contents = self.content_size(image_size)
        rows, columns = (
            _from_sam_axis(cells, self.side, content, side).to(logits.device)
            for cells, content, side in zip(logits.shape[-2:], contents, image_size, strict=True)
        )
        with torch.autocast(logits.device.type, enabled=False):
            return rows @ logits.float() @ columns.T


@lru_cache(maxsize=256)
def _from_sam_axis(cells: int, sam_size: int, content: int, side: int) -> Tensor:
    """[side, cells] float32: resample along one axis to the SAM frame, cut its content out, resample to the image."""
    with torch.inference_mode(mode=False):  # what is kept must serve training, too
        to_frame = F.interpolate(torch.eye(cells)[None], size=sam_size, mode='linear', align_corners=False)
        return F.interpolate(to_frame[..., :content], size=side, mode='linear', align_corners=False)[0].T.contiguous()
