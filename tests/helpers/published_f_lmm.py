"""Files as F-LMM's authors published them: the names and shapes of what their code trains, written out by hand.

Names are those of mmsegmentation's UNet (GroupNorm, InterpConv) with F-LMM's ``conv_seg``, and of segment_anything's
Sam; sizes follow from the LMM. Nothing here asks this package.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# LMM -> layers, heads, hidden size, views of the image. The mask head reads layers * heads * views maps.
PUBLISHED = {
    'frozen_llava_1_5_vicuna_7b': (32, 32, 4096, 1),
    'frozen_llava_next_vicuna_7b': (32, 32, 4096, 2),
    'frozen_llava_next_mistral_7b': (32, 32, 4096, 2),
    'frozen_deepseek_vl_1_3b_chat': (24, 16, 2048, 1),
    'frozen_deepseek_vl_7b_chat': (30, 32, 4096, 1),
}
CONFIGS = {
    'frozen_llava_1_5_vicuna_7b': 'llava/llava_1_5_7b_sam_l_refcoco',
    'frozen_llava_next_vicuna_7b': 'llava/llava_1_6_vicuna_7b_sam_l_refcoco',
    'frozen_llava_next_mistral_7b': 'llava/llava_1_6_mistral_7b_sam_l_refcoco',
    'frozen_deepseek_vl_1_3b_chat': 'deepseek_vl/deepseek_vl_1_3b_sam_l_refcoco',
    'frozen_deepseek_vl_7b_chat': 'deepseek_vl/deepseek_vl_7b_sam_l_refcoco',
}
"""The config of this repository that takes each."""
FREQUENCIES = 'sam.model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'


def published_shapes(
    *, layers: int, channels: int, hidden_size: int, base: int = 64, sam_dim: int = 256, sam_mlp: int = 2048
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all that is trained, and of SAM's constant frequencies."""
    shapes = {'text_layer_weights': (layers,), FREQUENCIES: (2, sam_dim // 2)}
    shapes |= {f'mask_head.{name}': shape for name, shape in unet(channels, base)}
    shapes |= {f'sam.model.prompt_encoder.{name}': shape for name, shape in prompt_encoder(sam_dim)}
    shapes |= {f'sam.model.mask_decoder.{name}': shape for name, shape in mask_decoder(sam_dim, sam_mlp)}
    return shapes | dict(linear('text_proj', sam_dim, hidden_size))


def unet(channels: int, base: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    def conv(name, outputs, inputs, kernel):
        yield f'{name}.conv.weight', (outputs, inputs, kernel, kernel)
        yield f'{name}.gn.weight', (outputs,)
        yield f'{name}.gn.bias', (outputs,)

    widths = [base, 2 * base, 4 * base, 8 * base]
    for stage, width in enumerate(widths):
        block = f'encoder.{stage}.{0 if stage == 0 else 1}'  # behind the pooling
        yield from conv(f'{block}.convs.0', width, widths[stage - 1] if stage else channels, 3)
        yield from conv(f'{block}.convs.1', width, width, 3)
    for stage, width in enumerate(widths[:3]):
        yield from conv(f'decoder.{stage}.conv_block.convs.0', width, 2 * width, 3)
        yield from conv(f'decoder.{stage}.conv_block.convs.1', width, width, 3)
        yield from conv(f'decoder.{stage}.upsample.interp_upsample.1', width, 2 * width, 1)
    yield 'conv_seg.weight', (1, base, 1, 1)
    yield 'conv_seg.bias', (1,)


def prompt_encoder(dim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for point in range(4):
        yield f'point_embeddings.{point}.weight', (1, dim)
    yield 'not_a_point_embed.weight', (1, dim)
    yield 'no_mask_embed.weight', (1, dim)
    for index, shape in ((0, (4, 1, 2, 2)), (1, (4,)), (3, (16, 4, 2, 2)), (4, (16,)), (6, (dim, 16, 1, 1))):
        yield f'mask_downscaling.{index}.weight', shape
        yield f'mask_downscaling.{index}.bias', shape[:1]


def mask_decoder(dim: int, mlp: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in (f'transformer.layers.{index}' for index in range(2)):
        yield from attention(f'{layer}.self_attn', dim, dim)
        yield from attention(f'{layer}.cross_attn_token_to_image', dim, dim // 2)
        yield from attention(f'{layer}.cross_attn_image_to_token', dim, dim // 2)
        yield from linear(f'{layer}.mlp.lin1', mlp, dim)
        yield from linear(f'{layer}.mlp.lin2', dim, mlp)
        for norm in range(1, 5):
            yield from vectors(f'{layer}.norm{norm}', dim)
    yield from attention('transformer.final_attn_token_to_image', dim, dim // 2)
    yield from vectors('transformer.norm_final_attn', dim)
    yield 'iou_token.weight', (1, dim)
    yield 'mask_tokens.weight', (4, dim)
    yield 'output_upscaling.0.weight', (dim, dim // 4, 2, 2)
    yield 'output_upscaling.0.bias', (dim // 4,)
    yield from vectors('output_upscaling.1', dim // 4)
    yield 'output_upscaling.3.weight', (dim // 4, dim // 8, 2, 2)
    yield 'output_upscaling.3.bias', (dim // 8,)
    heads = [f'output_hypernetworks_mlps.{index}' for index in range(4)]
    for head, outputs in (*((head, dim // 8) for head in heads), ('iou_prediction_head', 4)):
        for index, rows in enumerate((dim, dim, outputs)):
            yield from linear(f'{head}.layers.{index}', rows, dim)


def attention(name: str, dim: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for projection in ('q_proj', 'k_proj', 'v_proj'):
        yield from linear(f'{name}.{projection}', inner, dim)
    yield from linear(f'{name}.out_proj', dim, inner)


def linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f'{name}.weight', (outputs, inputs)
    yield f'{name}.bias', (outputs,)


def vectors(name: str, dim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f'{name}.weight', (dim,)
    yield f'{name}.bias', (dim,)


def tiny_published(
    *, frequencies: Tensor, views: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Tensor]:
    """What F-LMM's code would write of the model of tiny_refcoco: 2 layers of 4 heads, hidden size 32, a SAM of 16."""
    shapes = published_shapes(layers=2, channels=8 * views, hidden_size=32, base=4, sam_dim=16, sam_mlp=32)
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator).mul(0.1).to(dtype) for name, shape in shapes.items()}
    return {**weights, FREQUENCIES: frequencies.to(dtype)}
