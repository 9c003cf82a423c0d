from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from transformers import Sam2ImageProcessor, SamImageProcessor

from flmm.models.sam import SamFrame

FRAMES = [SamFrame(side=256), SamFrame(side=256, squashed=True)]


def random_logits(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('image_size', [(480, 640), (640, 480), (333, 500), (1200, 1199), (256, 256), (37, 911)])
@pytest.mark.parametrize('sam_size', [256, 1024])
def test_sam_frame_equals_segment_anythings(image_size, sam_size):
    frame, reference = SamFrame(side=sam_size), ResizeLongestSide(sam_size)
    height, width = image_size
    boxes = torch.tensor([[0.0, 0, width - 1, height - 1], [3, 5, width / 2, height / 3]])

    assert frame.content_size(image_size) == reference.get_preprocess_shape(*image_size, sam_size)
    torch.testing.assert_close(
        frame.boxes_from_image(boxes, image_size), reference.apply_boxes_torch(boxes, image_size), rtol=0, atol=1e-4
    )


def test_sam_frame_refuses_an_image_that_vanishes():
    with pytest.raises(ValueError, match=r'\(1, 600\) is less than half a pixel thick .* below 512:1'):
        SamFrame(side=256).content_size((1, 600))


@pytest.mark.parametrize('image_size', [(60, 80), (80, 60), (200, 333), (64, 64)])
def test_logits_from_the_image_lie_where_the_image_lies(image_size):
    logits = random_logits(2, *image_size)
    height, width = SamFrame(side=64).content_size(image_size)

    prompts = SamFrame(side=64).logits_from_image(logits, (64, 64))

    expected = F.interpolate(logits[None], size=(height, width), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(prompts[:, :height, :width], expected, rtol=0, atol=1e-6)
    fill = logits.amin(dim=(1, 2)).clamp(max=-1)[:, None, None].expand_as(prompts)
    assert torch.equal(prompts[:, height:], fill[:, height:])
    assert torch.equal(prompts[:, :, width:], fill[:, :, width:])


@pytest.mark.parametrize('image_size', [(60, 80), (80, 60), (200, 333), (64, 64), (7, 300)])
@pytest.mark.parametrize(('sam_size', 'cells'), [(64, 16), (256, 64)])
def test_logits_to_the_image_are_segment_anythings_postprocessing(image_size, sam_size, cells):
    frame = SamFrame(side=sam_size)
    logits = random_logits(3, cells, cells).requires_grad_()
    weights = random_logits(3, *image_size)
    # The only thing that the method reads of its object is the side of the SAM frame.
    sam = SimpleNamespace(image_encoder=SimpleNamespace(img_size=sam_size))
    content = frame.content_size(image_size)
    expected = Sam.postprocess_masks(sam, logits[:, None], content, image_size)[:, 0]

    found = frame.logits_to_image(logits, image_size)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    expected_gradient, gradient = (torch.autograd.grad((x * weights).sum(), logits)[0] for x in (expected, found))
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(frame.logits_to_image(logits, image_size), found)


def test_padding_of_confident_foreground_is_minus_one():
    logits = torch.stack([torch.full((32, 64), 5.0), torch.full((32, 64), -7.0)])

    prompts = SamFrame(side=64).logits_from_image(logits, (16, 16))

    assert prompts.shape == (2, 16, 16)
    assert prompts[0, :8].unique().tolist() == [5.0]
    assert prompts[0, 8:].unique().tolist() == [-1.0]
    assert prompts[1].unique().tolist() == [-7.0]


@pytest.mark.parametrize('frame', FRAMES, ids=['padded', 'squashed'])
@pytest.mark.parametrize('image_size', [(400, 100), (300, 150), (240, 240), (150, 300), (100, 400)])
def test_a_mask_survives_the_way_to_the_sam_frame_and_back(frame, image_size):
    height, width = image_size
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    ellipse = ((rows - 0.4 * height) / (0.25 * height)) ** 2 + ((columns - 0.6 * width) / (0.3 * width)) ** 2 < 1
    logits = torch.where(ellipse, 4.0, -4.0)[None]

    back = frame.logits_to_image(frame.logits_from_image(logits, (64, 64)), image_size)

    assert back.shape == (1, *image_size)
    mask = back[0] > 0
    assert (mask & ellipse).sum() / (mask | ellipse).sum() > 0.94
    wrong = (mask != ellipse).nonzero()  # all of it within a cell of the outline
    distance = (
        ((wrong[:, 0] - 0.4 * height) / (0.25 * height)) ** 2 + ((wrong[:, 1] - 0.6 * width) / (0.3 * width)) ** 2
    ).sqrt()
    assert (distance - 1).abs().max() < 0.2


@pytest.mark.parametrize('frame', FRAMES, ids=['padded', 'squashed'])
@pytest.mark.parametrize('image_size', [(400, 100), (240, 240), (100, 400)])
def test_box_mask_and_pixels_lie_in_the_same_place(frame, image_size):
    """A white rectangle in a black image, brought into the frame in the three ways that a SAM is given it."""
    height, width = image_size
    top, left, bottom, right = height // 5, width // 4, height // 2, 3 * width // 4
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right] = 255
    if frame.squashed:
        processor = Sam2ImageProcessor(size={'height': 256, 'width': 256})
    else:
        processor = SamImageProcessor(size={'longest_edge': 256}, pad_size={'height': 256, 'width': 256})
    pixels = processor(image, return_tensors='pt')['pixel_values'][0, 0]

    box = frame.boxes_from_image(torch.tensor([[left, top, right, bottom]]), image_size)[0]
    logits = frame.logits_from_image(torch.from_numpy(image[None, ..., 0]) / 255.0 - 0.5, (256, 256))[0]

    assert pixels.shape == (256, 256)
    white = (pixels > (pixels.max() + pixels.min()) / 2) & (pixels > 0)
    assert ((logits > 0) ^ white).sum() <= 0.02 * white.sum()
    rows, columns = white.nonzero().unbind(1)
    edges = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (edges - box).abs().max() <= 1


@pytest.mark.parametrize('image_size', [(400, 100), (333, 500), (64, 64), (7, 300)])
def test_a_squashed_frame_is_transformers(image_size):
    frame, height, width = SamFrame(side=256, squashed=True), *image_size
    logits = random_logits(2, 3, 64, 64)
    processor = Sam2ImageProcessor(size={'height': 256, 'width': 256})
    boxes = torch.tensor([[0.0, 0, width - 1, height - 1], [1, 2, width / 2, height / 3]])

    found = frame.logits_to_image(logits.flatten(0, 1), image_size)

    (expected,) = processor.post_process_masks([logits], [image_size], binarize=False)
    torch.testing.assert_close(found, expected.flatten(0, 1), rtol=0, atol=1e-5)
    expected_boxes = boxes * torch.tensor([256 / width, 256 / height] * 2)
    torch.testing.assert_close(frame.boxes_from_image(boxes, image_size), expected_boxes, rtol=0, atol=1e-4)
    assert frame.content_size((1, 600)) == (256, 256)  # nothing vanishes
    assert frame.logits_from_image(logits[:0, 0], (64, 64)).shape == (0, 64, 64)
