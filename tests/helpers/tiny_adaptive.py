"""Adaptive processors and models like those of tiny_models, and inputs to them, for tests."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from tiny_layouts import random_layout
from tiny_models import PATCH_SIZES, tiny_lmm, tiny_processor
from transformers import PreTrainedModel

from flmm.apt.layout import TokenLayout
from flmm.qwen import (
    AdaptiveQwen2_5_VLForConditionalGeneration,
    AdaptiveQwen2_5_VLProcessor,
    AdaptiveQwen2VLForConditionalGeneration,
    AdaptiveQwen2VLImageProcessor,
    AdaptiveQwen2VLProcessor,
    AdaptiveQwen3_5ForConditionalGeneration,
    AdaptiveQwen3VLForConditionalGeneration,
    AdaptiveQwen3VLProcessor,
)
from flmm.qwen.layout_inputs import layouts_from_inputs

PROCESSORS = {
    'qwen2_vl': AdaptiveQwen2VLProcessor,
    'qwen2_5_vl': AdaptiveQwen2_5_VLProcessor,
    'qwen3_vl': AdaptiveQwen3VLProcessor,
    'qwen3_5': AdaptiveQwen3VLProcessor,
}
MODELS = {
    'qwen2_vl': AdaptiveQwen2VLForConditionalGeneration,
    'qwen2_5_vl': AdaptiveQwen2_5_VLForConditionalGeneration,
    'qwen3_vl': AdaptiveQwen3VLForConditionalGeneration,
    'qwen3_5': AdaptiveQwen3_5ForConditionalGeneration,
}
TIMESTAMPED = ('qwen3_vl', 'qwen3_5')
"""Families in whose sequences the frames of a video stand apart, each behind its time."""
IMAGE_SPAN = '<|vision_start|><|image_pad|><|vision_end|>'
VIDEO_SPAN = '<|vision_start|><|video_pad|><|vision_end|>'

DENSE = [
    ['a', TokenLayout.dense((5, 6)), 'bc', TokenLayout.dense((2, 9)), 'what is it'],
    ['no image'],
    [TokenLayout.dense((4, 4)), '?'],
]
COARSE = [
    ['a', random_layout((9, 6), seed=1), 'bc', random_layout((4, 11), seed=2), 'what is it'],
    ['no image'],
    [random_layout((8, 8), seed=3), 'why?'],
]


def half_smooth_image(size: tuple[int, int], *, seed: int = 0) -> Image.Image:
    """An image of ``size`` (height, width): noise in the upper left quarter or so, one colour elsewhere."""
    rng = np.random.default_rng(seed)
    height, width = size
    pixels = np.full((height, width, 3), rng.integers(256, size=3), dtype=np.uint8)
    noise = pixels[: int(height * rng.uniform(0.3, 0.7)), : int(width * rng.uniform(0.3, 0.9))]
    noise[:] = rng.integers(256, size=noise.shape)
    return Image.fromarray(pixels)


def adaptive_processor(family: str = 'qwen2_5_vl', **settings: object) -> AdaptiveQwen2VLProcessor:
    """tiny_processor with adaptive patches; ``settings`` are the image processor's."""
    stock = tiny_processor(family)
    return PROCESSORS[family](
        image_processor=AdaptiveQwen2VLImageProcessor.from_dict(stock.image_processor.to_dict(), **settings),
        tokenizer=stock.tokenizer,
        video_processor=stock.video_processor,
        chat_template=stock.chat_template,
    )


def adaptive_lmm(family: str = 'qwen2_5_vl') -> PreTrainedModel:
    """tiny_lmm with its weights, as the adaptive class."""
    stock = tiny_lmm(family)
    model = MODELS[family](stock.config).eval()
    model.load_state_dict(stock.state_dict())
    return model


def layout_inputs(
    samples: Sequence[Sequence[str | TokenLayout]],
    *,
    family: str = 'qwen2_5_vl',
    seed: int = 0,
    padding_side: str = 'left',
) -> dict[str, torch.Tensor]:
    """Inputs of an adaptive model: each sample is a list of texts and of images of random pixels, given as layouts."""
    tokenizer = tiny_processor().tokenizer
    image_id, start_id, end_id = tokenizer.convert_tokens_to_ids(
        ['<|image_pad|>', '<|vision_start|>', '<|vision_end|>']
    )
    rows = [
        [
            token
            for part in sample
            for token in (
                tokenizer(part)['input_ids'] if isinstance(part, str) else [start_id, *[image_id] * len(part), end_id]
            )
        ]
        for sample in samples
    ]
    length = max(map(len, rows))
    input_ids, attention_mask = torch.zeros(2, len(rows), length, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if padding_side == 'right' else slice(length - len(row), None)
        input_ids[i, place], attention_mask[i, place] = torch.tensor(row), 1
    layouts = [part for sample in samples for part in sample if isinstance(part, TokenLayout)]
    # Each image has its own pixels, whatever stands before it in the batch.
    generators = [torch.Generator().manual_seed(seed + sum(layout.grid_size)) for layout in layouts]
    pixels = [
        torch.randn(4 * len(layout), row_size(family), generator=generator)
        for layout, generator in zip(layouts, generators, strict=True)
    ]
    text = {
        'input_ids': input_ids,
        'attention_mask': attention_mask,
        'mm_token_type_ids': (input_ids == image_id).int(),
    }
    if not layouts:
        return text
    return text | {
        'pixel_values': torch.cat(pixels),
        'image_grid_thw': torch.tensor([[1, 2 * h, 2 * w] for h, w in (layout.grid_size for layout in layouts)]),
        'image_layout': torch.cat([layout.tokens for layout in layouts]),
        'image_num_tokens': torch.tensor([len(layout) for layout in layouts]),
    }


def row_size(family: str) -> int:
    """How many numbers a patch has: three colours of two equal frames."""
    return 3 * 2 * PATCH_SIZES[family] ** 2


def layouts_of(inputs):
    return layouts_from_inputs(
        inputs['image_layout'], inputs['image_num_tokens'], inputs['image_grid_thw'], merge_size=2
    )


def with_video(inputs, *, family='qwen2_5_vl', seed=0):
    """The inputs with a video of two frames of 2x3 units in front of the first sample."""
    tokenizer = tiny_processor().tokenizer
    if family in TIMESTAMPED:
        frame = VIDEO_SPAN.replace('<|video_pad|>', '<|video_pad|>' * 6)
        text = f'<0.2 seconds>{frame}<1.5 seconds>{frame}'
    else:
        text = VIDEO_SPAN.replace('<|video_pad|>', '<|video_pad|>' * 12)
    ids = tokenizer(text)['input_ids']
    video = torch.zeros(len(inputs['input_ids']), len(ids), dtype=torch.long)
    video[0] = torch.tensor(ids)
    mask = torch.zeros_like(video)
    mask[0] = 1
    types = 2 * (video == tokenizer.convert_tokens_to_ids('<|video_pad|>')).int()
    return inputs | {
        'input_ids': torch.cat([video, inputs['input_ids']], dim=1),
        'attention_mask': torch.cat([mask, inputs['attention_mask']], dim=1),
        'mm_token_type_ids': torch.cat([types, inputs['mm_token_type_ids']], dim=1),
        'pixel_values_videos': torch.randn(48, row_size(family), generator=torch.Generator().manual_seed(seed)),
        'video_grid_thw': torch.tensor([[2, 4, 6]]),
    }


def plain_positions(inputs, *, frame_steps=None):
    """Walk over each sequence token by token: [3, B, S], and [B, 1], the next position minus the length.

    The frames of video v are ``frame_steps[v]`` positions apart, rounded down, one if that is None; unless text stands
    between them.
    """
    rows, deltas = [], []
    layouts = iter(layouts_of(inputs))
    grids = [(t, h // 2, w // 2) for t, h, w in inputs.get('video_grid_thw', torch.zeros(0, 3, dtype=int)).tolist()]
    videos = iter(zip(grids, frame_steps or [1] * len(grids), strict=True))
    frames_left = 0
    for types, mask in zip(inputs['mm_token_type_ids'].tolist(), inputs['attention_mask'].tolist(), strict=True):
        row, here, highest, i = [], 0, 0, 0
        while i < len(types):
            if not mask[i]:
                row.append((0, 0, 0))
            elif types[i] == 0:
                row.append((here, here, here))
                here += 1
            elif types[i] == 1:
                layout = next(layouts)
                for top, left, size in layout.tokens.tolist():
                    row.append((here, here + top + (size - 1) / 2, here + left + (size - 1) / 2))
                here += max(layout.grid_size)
                highest = max(highest, here - 1)  # of the dense run
            else:
                if not frames_left:
                    (frames_left, h, w), step = next(videos)
                frames = next((n for n, each in enumerate(types[i:]) if each != 2), len(types) - i) // (h * w)
                frames_left -= frames
                row.extend(
                    (here + int(step * t), here + y, here + x)
                    for t in range(frames)
                    for y in range(h)
                    for x in range(w)
                )
                here += max(h, w)
            i = len(row)
            highest = max(highest, *row[-1])
        rows.append(row)
        deltas.append([highest + 1 - sum(mask)])
    return torch.tensor(rows, dtype=torch.float).permute(2, 0, 1), torch.tensor(deltas)
