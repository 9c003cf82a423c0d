"""Masks that are kept small: what they are in the image does not depend on how many are looked at together."""

from functools import partial

import pytest
import torch

from flmm import mask_logits
from flmm.geometry import frame_meta_data, processed_to_image, resize_logits
from flmm.mask_logits import MaskLogits

IMAGE_SIZE = (60, 90)
FRAME = frame_meta_data(IMAGE_SIZE, (60, 90), (15, 15, 0, 0))
"""A square with padding above and below."""


def kept(num_masks=7, seed=0):
    small = torch.randn(num_masks, 12, 12, generator=torch.Generator().manual_seed(seed))
    return MaskLogits(small=small, image_size=IMAGE_SIZE, to_image=partial(processed_to_image, meta_data=FRAME))


def test_they_are_brought_to_the_image():
    logits = kept()
    assert len(logits) == 7
    assert torch.equal(logits.in_image(), processed_to_image(logits.small, FRAME))
    assert logits.in_image().shape == (7, *IMAGE_SIZE)


@pytest.mark.parametrize('pixels', [1, 60 * 90, 60 * 90 * 2 + 5, 60 * 90 * 3, 2**25])
def test_a_mask_is_the_same_to_the_last_bit_however_many_are_looked_at(pixels, monkeypatch):
    logits = kept()
    expected = logits.in_image()
    monkeypatch.setattr(mask_logits, 'CHUNK_PIXELS', pixels)
    parts = list(logits.chunks())
    assert max(part.stop - part.start for part in parts) == min(max(pixels // (60 * 90), 1), 7)
    assert [index for part in parts for index in range(part.start, part.stop)] == list(range(7))
    assert torch.equal(torch.cat([logits.in_image(part) for part in parts]), expected)


def test_those_of_the_image_itself_stay():
    image = torch.randn(3, 5, 8)
    logits = MaskLogits.from_image(image)
    assert logits.image_size == (5, 8)
    assert torch.equal(logits.in_image(), image)
    assert torch.equal(logits.in_image(slice(1, 2)), image[1:2])


def test_parts_are_put_behind_one_another():
    parts = [kept(2, seed=1), kept(3, seed=2)]
    joined = MaskLogits.cat(parts)
    assert torch.equal(joined.in_image(), torch.cat([part.in_image() for part in parts]))
    assert MaskLogits.cat(parts[:1]) is parts[0]


def test_gradients_reach_the_small_ones():
    small = torch.randn(2, 4, 5, requires_grad=True)
    logits = MaskLogits(small=small, image_size=(8, 10), to_image=partial(resize_logits, size=(8, 10)))
    logits.in_image().sum().backward()
    torch.testing.assert_close(small.grad.sum(), torch.tensor(2.0 * 8 * 10))


def test_no_masks_are_no_masks():
    none = MaskLogits.from_image(torch.zeros(0, 5, 8))
    assert list(none.chunks()) == []
    assert none.in_image().shape == (0, 5, 8)
