"""SAM's attention through SDPA against segment_anything's own."""

import copy

import pytest
import torch
from segment_anything.modeling.image_encoder import Attention
from tiny_models import SAM_256
from torch.utils._python_dispatch import TorchDispatchMode

from flmm.models.sam import build_small_sam, use_sdpa
from flmm.models.sam.attention import SdpaAttention


def random_positions(module, *, seed=0):
    """Relative positions start as zeros; a test on zeros would show nothing."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if 'rel_pos' in name:
            parameter.data.normal_(std=0.5, generator=generator)
    return module


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ('dim', 'heads', 'table', 'grid', 'use_rel_pos', 'qkv_bias'),
    [
        (32, 2, (8, 8), (8, 8), True, True),
        (24, 4, (7, 5), (7, 5), True, True),  # widths that are no multiple of what kernels want
        (32, 2, (14, 14), (9, 6), True, False),  # tables are interpolated
        (32, 4, None, (8, 6), False, True),
    ],
)
def test_attention_is_segment_anythings(dim, heads, table, grid, use_rel_pos, qkv_bias, dtype):
    torch.manual_seed(0)
    stock = Attention(dim, heads, qkv_bias=qkv_bias, use_rel_pos=use_rel_pos, input_size=table)
    random_positions(stock.to(dtype))
    x = torch.randn(3, *grid, dim, dtype=dtype)

    found = SdpaAttention.from_attention(stock)

    assert all(a is b for a, b in zip(found.parameters(), stock.parameters(), strict=True))
    assert found.state_dict().keys() == stock.state_dict().keys()
    torch.testing.assert_close(found(x), stock(x), rtol=0, atol={torch.float32: 1e-6, torch.float64: 1e-13}[dtype])


def test_gradients_are_segment_anythings():
    torch.manual_seed(0)
    stock = random_positions(Attention(32, 2, use_rel_pos=True, input_size=(6, 6))).double()
    x = torch.randn(2, 6, 6, 32, dtype=torch.float64)
    expected = torch.autograd.grad(stock(x).square().sum(), tuple(stock.parameters()))
    found = torch.autograd.grad(SdpaAttention.from_attention(stock)(x).square().sum(), tuple(stock.parameters()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_image_encoder_is_segment_anythings():
    torch.manual_seed(0)
    encoder = random_positions(build_small_sam(**SAM_256).image_encoder)
    stock = copy.deepcopy(encoder)
    for block in stock.blocks:
        block.attn.__class__ = Attention
    image = torch.randn(2, 3, 256, 256)

    assert {type(block.attn) for block in encoder.blocks} == {SdpaAttention}
    with torch.no_grad():
        torch.testing.assert_close(encoder(image), stock(image), rtol=0, atol=1e-5)
    use_sdpa(stock)
    assert {type(block.attn) for block in stock.blocks} == {SdpaAttention}
    assert stock.state_dict().keys() == encoder.state_dict().keys()


class LargestTensor(TorchDispatchMode):
    """Remembers the numbers in the largest tensor that an operator returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, torch.Tensor):
                self.numel = max(self.numel, part.numel())
        return result


def test_the_matrix_is_never_held():
    stock = random_positions(Attention(32, 2, use_rel_pos=True, input_size=(32, 32)))
    x = torch.randn(1, 32, 32, 32)
    with torch.no_grad():
        with LargestTensor() as of_stock:
            stock(x)
        with LargestTensor() as found:
            SdpaAttention.from_attention(stock)(x)
    length = 32 * 32
    assert of_stock.numel == 2 * length**2
    assert found.numel <= length * 3 * 32 * 4  # linear: the widened query, key and value
