import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from flmm.models.mask_head.mask_decoder import UNetHead
from flmm.registry import MODELS

SHAPES_FILE = Path(__file__).parent / 'unet_head_shapes.json'


def make_head(seed=0, **options):
    """A small head whose every parameter is random: norms and biases too, so that none can be mixed up."""
    head = UNetHead(**{'in_channels': 8, 'base_channels': 4, **options})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return head


def attention_maps(num_masks, channels, height, width, seed=1):
    logits = 3 * torch.randn(num_masks, channels, height * width, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(dim=-1).view(num_masks, channels, height, width) * 0.7


def reference_unet(x, weights):
    """mmseg's UNet with GroupNorm(1) and InterpConv, from the definition: four stages, two convolutions each."""

    def conv_norm_relu(x, name, padding):
        x = F.conv2d(x, weights[f'{name}.conv.weight'], padding=padding)
        return F.relu(F.group_norm(x, 1, weights[f'{name}.gn.weight'], weights[f'{name}.gn.bias'], eps=1e-5))

    def block(x, name):
        return conv_norm_relu(conv_norm_relu(x, f'{name}.convs.0', 1), f'{name}.convs.1', 1)

    skips = [block(x, 'encoder.0.0')]
    for stage in (1, 2, 3):
        skips.append(block(F.max_pool2d(skips[-1], 2), f'encoder.{stage}.1'))
    x = skips[3]
    for stage in (2, 1, 0):
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        x = conv_norm_relu(x, f'decoder.{stage}.upsample.interp_upsample.1', 0)
        x = block(torch.cat([skips[stage], x], dim=1), f'decoder.{stage}.conv_block')
    return F.conv2d(x, weights['conv_seg.weight'], weights['conv_seg.bias'])[:, 0]


def test_names_and_shapes_are_those_of_mmseg():
    expected = json.loads(SHAPES_FILE.read_text())

    shapes = {
        name: list(tensor.shape) for name, tensor in UNetHead(in_channels=8, base_channels=4).state_dict().items()
    }

    assert shapes == expected


def enlarge(x, *, longer_side, by):
    """F-LMM's ways of enlarging [N, C, h, w], in float64 from the definition of bilinear resampling, cell by cell.

    'scale_factor': the size is cut off, a cell's centre goes by the exact scale. 'size': the size is rounded, and the
    scale follows from it.
    """
    scale = longer_side / max(x.shape[-2:])
    if scale <= 1:
        return x.double()
    for dim in (2, 3):
        length = x.shape[dim]
        new_length = math.floor(length * scale + 1e-9) if by == 'scale_factor' else round(length * scale)
        matrix = torch.zeros(new_length, length, dtype=torch.float64)
        for cell in range(new_length):
            place = (cell + 0.5) / (scale if by == 'scale_factor' else new_length / length) - 0.5
            place = min(max(place, 0.0), length - 1.0)
            low = min(int(place), length - 1)
            matrix[cell, low] += 1 - (place - low)
            matrix[cell, min(low + 1, length - 1)] += place - low
        x = torch.tensordot(x.double(), matrix, dims=([dim], [1])).movedim(-1, dim)
    return x


GRIDS = [(24, 24), (16, 16), (16, 40), (21, 13), (13, 18), (7, 23), (64, 64), (70, 33), (1, 1), (1, 9)]


@pytest.mark.parametrize(('height', 'width'), GRIDS)
@pytest.mark.parametrize('by', ['size', 'scale_factor'])
def test_forward_follows_the_definition(height, width, by):
    """F-LMM's: each map is divided by its sum, then enlarged, then padded to a multiple of 8."""
    head = make_head(upsample_by=by)
    maps = attention_maps(3, 8, height, width)

    logits = head(maps)

    x = enlarge(maps.double() / maps.double().sum(dim=(2, 3), keepdim=True), longer_side=64, by=by).float()
    new_height, new_width = x.shape[-2:]
    padded = x.new_zeros(3, 8, (new_height + 7) // 8 * 8, (new_width + 7) // 8 * 8)
    padded[..., :new_height, :new_width] = x
    expected = reference_unet(padded, head.state_dict())[:, :new_height, :new_width]
    assert expected.std() > 1e-3
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_the_ways_of_enlarging_differ_where_a_side_is_rounded_alone():
    by_size, by_scale = make_head(), make_head(upsample_by='scale_factor')
    for grid in [(24, 24), (16, 16), (16, 64)]:
        maps = attention_maps(1, 8, *grid)
        torch.testing.assert_close(by_size.prepare_input(maps), by_scale.prepare_input(maps), rtol=0, atol=1e-8)

    maps = attention_maps(1, 8, 13, 18)  # 64 / 18 * 13 = 46.2
    assert (by_size.prepare_input(maps) - by_scale.prepare_input(maps)).abs().max() > 1e-4
    maps = attention_maps(1, 8, 20, 27)  # 64 / 27 * 20 = 47.4
    assert by_size.prepare_input(maps).shape == by_scale.prepare_input(maps).shape == (1, 8, 47, 64)
    maps = attention_maps(1, 8, 8, 29)  # 64 / 29 * 8 = 17.7
    assert by_size.prepare_input(maps).shape[-2:] == (18, 64)
    assert by_scale.prepare_input(maps).shape[-2:] == (17, 64)


@pytest.mark.parametrize('grid', [(49, 49), (13, 18), (7, 23), (70, 33)])
def test_scale_factor_is_the_plain_formula(grid):
    """F-LMM's line, rounding errors included: a side of 49 becomes 63."""
    maps = attention_maps(2, 8, *grid)
    scale = max(1.0, 64 / max(grid))
    expected = F.interpolate(maps / maps.sum(dim=(2, 3), keepdim=True), scale_factor=scale, mode='bilinear')
    assert torch.equal(make_head(upsample_by='scale_factor').prepare_input(maps), expected)
    assert (63 in expected.shape) == (49 in grid)


def test_the_order_matters():
    """Normalized after enlarging, as this package once had it, maps are smaller by the factor of the area."""
    maps = attention_maps(1, 8, 16, 16)
    prepared = make_head().prepare_input(maps)
    torch.testing.assert_close(prepared.sum(dim=(2, 3)), torch.full((1, 8), 16.0), rtol=1e-5, atol=0)


def test_forward_equals_mmseg():
    pytest.importorskip('mmseg', reason='mmsegmentation is not a dependency; the definition is tested without it')
    from mmseg.models.backbones.unet import InterpConv, UNet

    head = make_head(upsample_input=None, normalize_input=False)
    unet = UNet(
        in_channels=8,
        base_channels=4,
        num_stages=4,
        strides=(1, 1, 1, 1),
        enc_num_convs=(2, 2, 2, 2),
        dec_num_convs=(2, 2, 2),
        downsamples=(True, True, True),
        enc_dilations=(1, 1, 1, 1),
        dec_dilations=(1, 1, 1),
        norm_cfg={'type': torch.nn.GroupNorm, 'num_groups': 1},
        upsample_cfg={'type': InterpConv},
    )
    weights = head.state_dict()
    conv_seg = {name: weights.pop(f'conv_seg.{name}') for name in ('weight', 'bias')}
    unet.load_state_dict(weights, strict=True)
    maps = attention_maps(2, 8, 32, 40)

    expected = F.conv2d(unet(maps)[-1], **conv_seg)[:, 0]

    torch.testing.assert_close(head(maps), expected, rtol=0, atol=1e-5)


def test_masks_of_a_batch_do_not_mix():
    head = make_head()
    maps = attention_maps(4, 8, 11, 17)

    one_by_one = torch.cat([head(maps[index : index + 1]) for index in range(4)])

    torch.testing.assert_close(head(maps), one_by_one, rtol=0, atol=1e-5)


def test_normalization_makes_the_head_blind_to_the_scale_of_a_map():
    maps = attention_maps(1, 8, 64, 64)
    scales = torch.logspace(-3, 2, 8).view(1, 8, 1, 1)
    head, raw_head = make_head(), make_head(normalize_input=False)

    torch.testing.assert_close(head(maps * scales), head(maps), rtol=0, atol=1e-4)
    assert (raw_head(maps * scales) - raw_head(maps)).abs().max() > 1e-2


def test_maps_without_attention_stay_finite():
    assert make_head()(torch.zeros(1, 8, 5, 5)).isfinite().all()


def test_low_precision_maps_are_normalized_in_float32():
    maps = attention_maps(1, 8, 24, 24)

    prepared = make_head(upsample_input=None).prepare_input(maps.to(torch.bfloat16))

    assert prepared.dtype == torch.float32
    torch.testing.assert_close(prepared.sum(dim=(-2, -1)), torch.ones(1, 8), rtol=0, atol=1e-5)


def test_no_masks_give_no_logits():
    assert make_head()(torch.zeros(0, 8, 24, 32)).shape == (0, 48, 64)


def test_every_parameter_gets_a_gradient():
    head = make_head()

    head(attention_maps(2, 8, 24, 24)).square().sum().backward()

    assert [name for name, parameter in head.named_parameters() if not parameter.grad.abs().sum() > 0] == []


def test_a_fresh_head_starts_with_he_weights():
    torch.manual_seed(0)

    head = UNetHead(in_channels=64, base_channels=256, num_stages=1)

    assert head.conv_seg.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.15)  # fan in
    first = head.encoder[0][0].convs[0].conv.weight
    assert first.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.05)  # fan out
    assert head.conv_seg.bias.item() == 0


def test_a_fresh_head_finds_small_foreground_within_few_steps():
    torch.manual_seed(0)
    head = UNetHead(in_channels=4, base_channels=8, num_stages=2, upsample_input=16)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    maps = torch.rand(32, 4, 16, 16)
    targets = torch.zeros(32, 16, 16)
    for target, top, left in zip(targets, torch.randint(0, 12, (32,)), torch.randint(0, 12, (32,)), strict=True):
        target[top : top + 4, left : left + 4] = 1  # 6% of the area, as objects are
    maps[:, 2] += 2 * targets  # one head of four knows, through noise

    for _ in range(80):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(head(maps), targets).backward()
        optimizer.step()

    found, truth = head(maps) > 0, targets > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.8


def test_stages_and_convolutions_can_be_chosen():
    head = make_head(num_stages=2, enc_num_convs=(1, 3), dec_num_convs=(1,))

    assert [len(stage[-1].convs) for stage in head.encoder] == [1, 3]
    assert [len(stage.conv_block.convs) for stage in head.decoder] == [1]
    assert head(attention_maps(1, 8, 64, 63)).shape == (1, 64, 63)


@pytest.mark.parametrize(
    'name', ['strides', 'downsamples', 'enc_dilations', 'dec_dilations', 'norm_cfg', 'upsample_cfg']
)
def test_options_of_an_flmm_config_that_have_one_value_are_not_taken(name):
    config = {'type': 'UNetHead', 'in_channels': 8, name: (1, 1, 1, 1)}
    with pytest.raises(TypeError, match=rf"UNetHead\.__init__\(\) got an unexpected keyword argument '{name}'"):
        MODELS.build(config)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'upsample_by': 'factor'}, "upsample_by is 'factor', expected 'size' or 'scale_factor'"),
        ({'num_stages': 3, 'enc_num_convs': (2, 2)}, r'num_stages=3 takes 3 enc_num_convs and 2 dec_num_convs'),
    ],
)
def test_unsupported_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_head(**options)


def test_maps_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r'must be \[N, 8, h, w\], got shape \(1, 9, 4, 4\); in_channels is'):
        make_head()(torch.zeros(1, 9, 4, 4))
