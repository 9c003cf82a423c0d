"""One rendering of the image that an LMM reads.

Letters: N image tokens of a view.
"""

from dataclasses import dataclass

from torch import Tensor

from flmm.apt.layout import TokenLayout
from flmm.geometry import FrameMetaData


@dataclass(kw_only=True)
class ImageView:
    """One rendering of the image that the LMM reads, and where its tokens lie in the sequence.

    Args:
        columns: [N] long, the position in the sequence of each token, in the order of the layout.
        layout: which square of the view's grid each token covers.
        meta_data: how the frame that the grid covers lies over the image; padding belongs to the frame.
    """

    columns: Tensor
    layout: TokenLayout
    meta_data: FrameMetaData
