"""Masks of the image frame are made in the memory that they take, and little more."""

from functools import partial

import pytest
import torch
from benchmarks.measure import peak_memory

from flmm import mask_logits
from flmm.geometry import resize_logits
from flmm.mask_logits import MaskLogits


@pytest.mark.parametrize('judged', [False, True])
def test_masks_take_no_second_copy(judged, monkeypatch):
    monkeypatch.setattr(mask_logits, 'CHUNK_PIXELS', 1)  # one mask at a time
    small = torch.randn(20, 16, 16, generator=torch.Generator().manual_seed(0))
    logits = MaskLogits(small=small, image_size=(300, 400), to_image=partial(resize_logits, size=(300, 400)))
    exists = torch.arange(20) % 3 > 0 if judged else None
    expected = logits.in_image() > 0
    if judged:
        expected = expected & exists[:, None, None]
    assert torch.equal(logits.masks(exists), expected)
    pixels = 300 * 400
    # 20 masks of a byte a pixel; of one its logits in float32, and what is above 0
    assert peak_memory(lambda: logits.masks(exists), device=torch.device('cpu')) < 20 * pixels + 4 * 2 * pixels
