"""What is kept of an image that was read: its size, and which samples may go on from it."""

import re

import pytest
import torch
from PIL import Image
from plain_sample import IMAGE_HEIGHT, IMAGE_TOKEN, IMAGE_WIDTH, fields, reading, view

from flmm.apt.layout import TokenLayout
from flmm.reading import Prefix
from flmm.structures import GroundingSample


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image': Image.new('RGB', (IMAGE_WIDTH, IMAGE_HEIGHT))}, 'is not the image that was read, or it is read by'),
        (
            {'views': [view(layout=TokenLayout.dense((3, 2)))]},
            'is not the image that was read, or it is read by other tokens; read it by itself',
        ),
        (
            {'views': [view(columns=torch.tensor([0, 7]), layout=TokenLayout.dense((1, 2))), view()]},
            'is not the image that was read, or it is read by other tokens; read it by itself',
        ),
        (
            {'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 6, 3, 3, 4, 5, 6])},
            'begins otherwise than the 8 tokens that were read; read the image again with its own prompt',
        ),
        (
            {'prompt_length': 7},
            'has 7 tokens, 8 were read; read the image again with its own prompt',
        ),
        (
            {'prompt_length': 9, 'mask_ids': torch.tensor([-1] * 9 + [0, 0, 1])},
            'has 9 tokens, 8 were read; read the image again with its own prompt',
        ),
    ],
)
def test_a_reading_of_something_else_is_refused(changes, message):
    read = reading()
    depth = len(read.prefix.keys)
    read.check_begins(GroundingSample(**fields(image=read.image)), depth=depth)
    with pytest.raises(ValueError, match=r"image 'folder/cats\.jpg'.*" + re.escape(message)):
        read.check_begins(GroundingSample(**fields(**{'image': read.image, **changes})), depth=depth)


def test_a_reading_through_too_few_layers_is_refused():
    read = reading()
    depth = len(read.prefix.keys) + 1
    message = rf"image 'folder/cats\.jpg' was read through {depth - 1} layers, {depth} are run; read it with the model"
    with pytest.raises(ValueError, match=message):
        read.check_begins(GroundingSample(**fields(image=read.image)), depth=depth)


def test_the_memory_of_a_prefix_is_that_of_keys_and_values():
    def prefix(dtype, num_layers=3, heads=2, size=4, length=8):
        parts = [torch.zeros(1, heads, length, size, dtype=dtype) for _ in range(num_layers)]
        return Prefix(
            input_ids=torch.zeros(length), keys=[None, *parts], values=[None, *parts], states=[object(), *[None] * 3],
            next_position=8,
        )  # fmt: skip

    assert prefix(torch.float32).num_bytes == 2 * 3 * 2 * 4 * 8 * 4
    assert prefix(torch.bfloat16, num_layers=5, length=11).num_bytes == 2 * 5 * 2 * 4 * 11 * 2
