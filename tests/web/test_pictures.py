import base64
import io

import numpy as np
import torch
from PIL import Image

from flmm.grounder import Grounding
from flmm.mask_logits import MaskLogits
from flmm.web.pictures import FILL, color_of, data_url, mask_layer, overlay, shrunk


def opened(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2])))


def disc(height, width, radius):
    y, x = np.mgrid[:height, :width]
    return (y - height // 2) ** 2 + (x - width // 2) ** 2 < radius**2


def grounding(masks, image):
    logits = MaskLogits.from_image(torch.from_numpy(np.where(masks, 1.0, -1.0)))
    return Grounding(
        image=image, phrases=['x'] * len(masks), coarse=logits, refined=logits, scores=torch.ones(len(masks))
    )


def test_every_phrase_has_a_colour_of_its_own():
    assert len({color_of(index) for index in range(64)}) == 64


def test_a_layer_in_the_page_is_the_mask():
    mask = disc(50, 70, 20)
    url = data_url(mask_layer(mask, (10, 200, 30)))
    assert url.startswith('data:image/png;base64,')
    pixels = np.asarray(opened(url).convert('RGBA'))
    np.testing.assert_array_equal(pixels[..., 3] > 0, mask)
    assert (pixels[mask][:, :3] == (10, 200, 30)).all()
    inner = disc(50, 70, 17)
    assert (pixels[inner][:, 3] == round(255 * FILL)).all()
    assert (pixels[mask & ~disc(50, 70, 19)][:, 3] == 255).all()  # the line lies within the mask


def test_a_mask_up_to_the_border_has_no_line_there():
    pixels = np.asarray(mask_layer(np.ones((6, 9), dtype=bool), (1, 2, 3)))
    assert (pixels == 1).all()


def test_an_overlay_changes_the_image_under_masks_alone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8))
    masks = np.stack([disc(50, 70, 8), np.zeros((50, 70), dtype=bool)])
    drawn, before = np.asarray(overlay(grounding(masks, image))), np.asarray(image)
    np.testing.assert_array_equal(drawn[~masks[0]], before[~masks[0]])
    inner = disc(50, 70, 5)
    mixed = before[inner] + FILL * (np.array(color_of(0)) - before[inner].astype(float))
    np.testing.assert_allclose(drawn[inner], mixed, atol=2)


def test_pictures_are_shrunk_never_enlarged():
    assert shrunk(Image.new('RGB', (3000, 1500)), 1000).size == (1000, 500)
    assert shrunk(Image.new('RGB', (30, 15)), 1000).size == (30, 15)
