"""The mask head: a small U-Net that turns attention maps into coarse mask logits.

Letters: N masks, C channels (attention heads), (h, w) the grid of the attention maps, (h', w') the grid of the logits.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm.registry import MODELS


class ConvNormReLU(nn.Sequential):
    """Convolution that keeps the size, GroupNorm with one group, ReLU; named as mmcv's ConvModule names them."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int):
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        super().__init__(OrderedDict(conv=conv, gn=nn.GroupNorm(1, out_channels), activate=nn.ReLU(inplace=True)))


class ConvBlock(nn.Module):
    """``num_convs`` 3x3 convolutions, each with norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, num_convs: int):
        super().__init__()
        widths = [in_channels] + [out_channels] * num_convs
        self.convs = nn.Sequential(*(ConvNormReLU(before, after, kernel_size=3) for before, after in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, h, w] -> [N, out_channels, h, w]."""
        return self.convs(x)


class InterpConv(nn.Module):
    """Twice the size by bilinear interpolation, then a 1x1 convolution with norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.interp_upsample = nn.Sequential(
            nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False),
            ConvNormReLU(in_channels, out_channels, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, h, w] -> [N, out_channels, 2h, 2w]."""
        return self.interp_upsample(x)


class UpConvBlock(nn.Module):
    """One step up: upsample, join the skip connection, convolve."""

    def __init__(self, in_channels: int, out_channels: int, *, num_convs: int):
        super().__init__()
        self.conv_block = ConvBlock(2 * out_channels, out_channels, num_convs=num_convs)
        self.upsample = InterpConv(in_channels, out_channels)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        """``skip`` [N, out_channels, 2h, 2w] and ``x`` [N, in_channels, h, w] -> [N, out_channels, 2h, 2w]."""
        return self.conv_block(torch.cat([skip, self.upsample(x)], dim=1))


@MODELS.register_module()
class UNetHead(nn.Module):
    """Attention maps -> coarse mask logits, with a U-Net (Ronneberger et al., 2015) as in F-LMM (CVPR 2025).

    Parameters have the names, shapes and arithmetic of mmsegmentation's ``UNet`` with GroupNorm(1) and InterpConv, plus
    ``conv_seg``, so that weights of published F-LMM mask heads fit. Each map is normalized first and enlarged then, as
    in F-LMM. The order is part of the definition: enlarging conserves the mean of a map, not its sum, so the other
    order gives values that are smaller by the factor of the area, and so small that GroupNorm's eps counts.

    Args:
        in_channels: C, the number of attention heads that are read.
        base_channels: width of the first stage; each further stage doubles it.
        num_stages: resolutions in the U, each half the one before.
        enc_num_convs: convolutions per encoder stage, ``num_stages`` of them; two each by default.
        dec_num_convs: convolutions per decoder stage, finest first, ``num_stages - 1`` of them; two each by default.
        upsample_input: grids whose longer side is shorter than this are enlarged to it (bilinear); None: never.
        upsample_by: how the shorter side is enlarged where it does not come out whole. 'size' rounds it and stretches
            the grid to it, so that the enlarged grid still covers the whole frame. 'scale_factor' cuts it off to whole
            cells and keeps the exact scale, as ``torch.nn.functional.interpolate(scale_factor=)`` does in F-LMM: for
            heads that F-LMM's own code trained. Both are equal where both sides come out whole, as on square grids,
            but for sides of 49, which torch's rounding makes 63 cells, not 64.
        normalize_input: divide every map by its sum. Maps are attention, so not negative.

    Raises:
        ValueError: lengths that do not fit ``num_stages``, or an unknown ``upsample_by``.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int = 64,
        num_stages: int = 4,
        enc_num_convs: Sequence[int] | None = None,
        dec_num_convs: Sequence[int] | None = None,
        upsample_input: int | None = 64,
        upsample_by: str = 'size',
        normalize_input: bool = True,
    ):
        super().__init__()
        enc_num_convs = (2,) * num_stages if enc_num_convs is None else tuple(enc_num_convs)
        dec_num_convs = (2,) * (num_stages - 1) if dec_num_convs is None else tuple(dec_num_convs)
        if (len(enc_num_convs), len(dec_num_convs)) != (num_stages, num_stages - 1):
            raise ValueError(
                f'num_stages={num_stages} takes {num_stages} enc_num_convs and {num_stages - 1} dec_num_convs, '
                f'got {enc_num_convs} and {dec_num_convs}'
            )
        if upsample_by not in ('size', 'scale_factor'):
            raise ValueError(f"upsample_by is {upsample_by!r}, expected 'size' or 'scale_factor'")

        self.upsample_input = upsample_input
        self.upsample_by = upsample_by
        self.normalize_input = normalize_input
        widths = [base_channels * 2**stage for stage in range(num_stages)]
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for stage, width in enumerate(widths):
            block = ConvBlock(in_channels if stage == 0 else widths[stage - 1], width, num_convs=enc_num_convs[stage])
            self.encoder.append(nn.Sequential(block) if stage == 0 else nn.Sequential(nn.MaxPool2d(2), block))
            if stage > 0:
                self.decoder.append(UpConvBlock(width, widths[stage - 1], num_convs=dec_num_convs[stage - 1]))
        self.conv_seg = nn.Conv2d(base_channels, 1, kernel_size=1)
        self.init_weights()

    def init_weights(self) -> None:
        """He initialization, of ``conv_seg`` too.

        With the near-zero ``conv_seg`` that is usual for segmentation heads, the weights of all features first turn
        negative, to fit the background that most pixels are; the foreground then has little left to rise with, and
        many steps pass before a logit is positive.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        nn.init.kaiming_normal_(self.conv_seg.weight, mode='fan_in', nonlinearity='relu')
        nn.init.zeros_(self.conv_seg.bias)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """Predict coarse masks.

        Args:
            x: [N, C, h, w], attention of N phrases (of one image, or of images with equal grids); h, w >= 1.
            inside: Not read. Other mask heads are told which cells show the image; F-LMM's learns what padding is.

        Returns:
            [N, h', w'] float32 logits over the same area as ``x``: (h', w') is (h, w), or (h, w) enlarged so that the
            longer side is ``upsample_input``, but for ``upsample_by='scale_factor'`` and 49.
            :func:`flmm.geometry.processed_to_image` takes them on.

        Raises:
            ValueError: ``x`` is not [N, C, h, w].
        """
        in_channels = self.encoder[0][0].convs[0].conv.in_channels
        if x.ndim != 4 or x.shape[1] != in_channels:
            raise ValueError(
                f'attention maps must be [N, {in_channels}, h, w], got shape {tuple(x.shape)}; '
                'in_channels is the number of attention heads that are read'
            )
        x = self.prepare_input(x)
        height, width = x.shape[-2:]
        multiple = 2 ** len(self.decoder)
        x = F.pad(x, (0, -width % multiple, 0, -height % multiple))
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for stage, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = stage(skip, x)
        return self.conv_seg(x[..., :height, :width])[:, 0].float()

    def prepare_input(self, x: Tensor) -> Tensor:
        """Normalize and enlarge the maps, in float32: [N, C, h, w] -> [N, C, h', w'] in the dtype of the weights."""
        x = x.float()
        if self.normalize_input:
            x = x / x.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
        longer_side = max(x.shape[-2:])
        if self.upsample_input is not None and longer_side < self.upsample_input:
            scale = self.upsample_input / longer_side
            if self.upsample_by == 'size':
                target = {'size': [round(side * scale) for side in x.shape[-2:]]}
            else:
                target = {'scale_factor': scale}
            x = F.interpolate(x, **target, mode='bilinear', align_corners=False)
        x = x.to(self.conv_seg.weight.dtype)
        # oneDNN's convolutions of many masks take 0.7 times as long so, forward and backward.
        return x.contiguous(memory_format=torch.channels_last) if x.device.type == 'cpu' else x
