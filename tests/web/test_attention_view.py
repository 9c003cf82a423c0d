import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_grounder import tiny_grounder
from tiny_models import tiny_processor

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.grounder import Grounder
from flmm.visualization import attention_map
from flmm.web.attention_view import SHADES, attention_view, sprite_of

HEADS = [(0, 1), (1, 0)]


@pytest.fixture(scope='module')
def read():
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.', concat=True)
    grounder = Grounder(model=tiny_grounder(heads=HEADS), to_sample=to_sample)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 140, 3), dtype=np.uint8)
    return grounder.read(Image.fromarray(pixels))


def test_all_heads_hold_those_that_the_mask_head_reads(read):
    chosen, everything = read.attention('a cat'), read.attention('a cat', all_heads=True)
    assert [channel[1:] for channel in chosen.channels] == HEADS
    num_heads = read.grounder.model.num_heads
    assert everything.channels == [(0, layer, head) for layer in (0, 1) for head in range(num_heads)]
    places = [everything.channels.index(channel) for channel in chosen.channels]
    torch.testing.assert_close(everything.maps[places], chosen.maps, atol=1e-6, rtol=0)
    assert torch.equal(read.attention('a cat').maps, chosen.maps)  # nothing of the model has changed


def test_each_map_is_in_its_place_and_those_that_are_read_have_a_frame(read):
    html = attention_view(read, 'a <cat>')
    cells = re.findall(r'class="flmm-map([^"]*)" style="--x:(\d+);--y:(\d+)"', html)
    num_heads = read.grounder.model.num_heads
    assert len(cells) == 2 * num_heads
    assert [(int(y), int(x)) for marks, x, y in cells if 'flmm-read' in marks] == HEADS
    assert f'“a &lt;cat&gt;” in {2 * num_heads} heads' in html
    assert 'The mask head reads the 2 with a frame' in html


def test_the_sprite_has_the_shades_of_each_map(read):
    attention = read.attention('a cat', all_heads=True)
    num_heads = read.grounder.model.num_heads
    sprite = np.asarray(sprite_of(attention, read, rows=[(0, 0), (0, 1)], heads=list(range(num_heads))))
    height, width = sprite.shape[0] // 2, sprite.shape[1] // num_heads
    assert (height, width) == (41, 64)
    for layer, head in HEADS:
        cell = sprite[layer * height : (layer + 1) * height, head * width : (head + 1) * width]
        channel = attention.channels.index((0, layer, head))
        heat = attention_map(attention.maps[[channel]], read.processed.views[-1].meta_data, (height, width))
        np.testing.assert_array_equal(cell, np.round(heat * (SHADES - 1)))
        assert cell.max() == SHADES - 1
