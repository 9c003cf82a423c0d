"""The bounds of the resizing are set, saved and used, or refused."""

import numpy as np
import pytest
from PIL import Image
from tiny_models import FAMILIES, PATCH_SIZES, tiny_processor

from flmm.finetune import set_image_size
from flmm.pretrained import load_processor


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize(
    ('bounds', 'grid'),  # the bounds in patches
    [
        ({}, [1, 40, 40]),
        ({'max_pixels': 4}, [1, 2, 2]),
        ({'max_pixels': 64, 'min_pixels': 64}, [1, 8, 8]),
    ],
)
def test_what_is_saved_loads_and_works(family, bounds, grid, tmp_path):
    processor, patch = tiny_processor(family), PATCH_SIZES[family]
    bounds = {name: bound * patch**2 for name, bound in bounds.items()}
    stock = dict(processor.image_processor.size)
    smallest = bounds.get('min_pixels', stock['shortest_edge'])
    if bounds.get('max_pixels', smallest) < smallest:
        bounds = {**bounds, 'min_pixels': bounds['max_pixels']}
    set_image_size(processor, **bounds)
    processor.save_pretrained(tmp_path)
    image = Image.fromarray(np.zeros((40 * patch, 40 * patch, 3), dtype=np.uint8))
    for processing in (processor, load_processor(tmp_path)):
        assert dict(processing.image_processor.size)['longest_edge'] == bounds.get('max_pixels', stock['longest_edge'])
        batch = processing(text='<|image_pad|>', images=image, return_tensors='pt')
        assert batch['image_grid_thw'].tolist() == [grid]
        assert batch['input_ids'].shape[1] == grid[1] * grid[2] // 4
    assert not {'min_pixels', 'max_pixels'} & load_processor(tmp_path).tokenizer.init_kwargs.keys()


@pytest.mark.parametrize(
    ('bounds', 'shown'),
    [
        ({'max_pixels': 3135}, 'min_pixels=3136 to max_pixels=3135'),
        ({'max_pixels': 0}, 'min_pixels=3136 to max_pixels=0'),
        ({'max_pixels': -1}, 'min_pixels=3136 to max_pixels=-1'),
        ({'min_pixels': 0}, 'min_pixels=0 to max_pixels=1003520'),
        ({'min_pixels': -4}, 'min_pixels=-4 to max_pixels=1003520'),
        ({'min_pixels': 1003521}, 'min_pixels=1003521 to max_pixels=1003520'),
        ({'min_pixels': 4000, 'max_pixels': 3999}, 'min_pixels=4000 to max_pixels=3999'),
        ({'min_pixels': 1, 'max_pixels': 783}, 'min_pixels=1 to max_pixels=783'),
    ],
)
def test_bounds_that_no_image_fits(bounds, shown):
    processor = tiny_processor()
    before = dict(processor.image_processor.size)
    with pytest.raises(
        ValueError, match=f'images of {shown} px are asked for; expected 0 < min_pixels <= max_pixels, and '
    ):
        set_image_size(processor, **bounds)
    assert dict(processor.image_processor.size) == before
