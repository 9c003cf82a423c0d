"""Images that go through the model together: what is found is what one by one finds, but for rounding."""

import pytest
import torch
from saved_grounders import build, saved_config, write_frozen
from tiny_reading import photo

from flmm.grounder import batch
from flmm.grounder.batch import ground_batch
from flmm.grounder.prepared_image import prepare_image

pytestmark = pytest.mark.usefixtures('on_one_thread')

FAMILIES = ('qwen2_5_vl', 'llava_next', 'qwen3_5')  # one view, two, and layers that carry a state
PHRASES = [['a cat', 'dog', 'the red one', 'x'], ['dog'], ['it is there', 'a cat', 'x']]


@pytest.mark.parametrize(
    ('family', 'most'), [(family, 3) for family in FAMILIES] + [('qwen2_5_vl', 1), ('qwen2_5_vl', 64)]
)
def test_a_batch_is_what_one_by_one_is(family, most, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, 'PHRASES_AT_ONCE', most)
    grounder = build(saved_config(write_frozen(tmp_path, family), family))
    images = [
        prepare_image(photo(size, seed), to_sample=grounder.to_sample)
        for seed, size in enumerate([(90, 60), (60, 100), (70, 70)])
    ]
    found = ground_batch(grounder, images, PHRASES)
    for image, phrases, together in zip(images, PHRASES, found, strict=True):
        alone = grounder.read(image).ground(phrases)
        assert together.phrases == phrases
        assert together.image is image.image
        torch.testing.assert_close(together.refined.small, alone.refined.small, rtol=0, atol=1e-4)
        torch.testing.assert_close(together.coarse.small, alone.coarse.small, rtol=0, atol=1e-4)
        torch.testing.assert_close(together.scores, alone.scores, rtol=0, atol=1e-5)
    for one, other in zip(found, ground_batch(grounder, images, PHRASES), strict=True):
        assert torch.equal(one.refined.small, other.refined.small)


def test_each_image_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, 'PHRASES_AT_ONCE', 2)
    grounder = build(saved_config(write_frozen(tmp_path)))
    seen = []
    encode = grounder.model.sam.encode_images
    monkeypatch.setattr(grounder.model.sam, 'encode_images', lambda images: seen.append(len(images)) or encode(images))
    images = [prepare_image(photo(seed=seed), to_sample=grounder.to_sample) for seed in range(3)]
    ground_batch(grounder, images, PHRASES)
    assert seen == [3]


def test_phrases_that_share_a_sequence_stay_together(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, 'PHRASES_AT_ONCE', 2)
    grounder = build(saved_config(write_frozen(tmp_path), to_sample={'independent': False}))
    image = prepare_image(photo(), to_sample=grounder.to_sample)
    (found,) = ground_batch(grounder, [image], [PHRASES[0]])
    assert torch.equal(found.refined.small, grounder.read(image).ground(PHRASES[0]).refined.small)


def test_an_image_that_is_refused_is_named(tmp_path):
    grounder = build(saved_config(write_frozen(tmp_path)))
    images = [prepare_image(photo(), to_sample=grounder.to_sample, name=name) for name in ('one', 'two')]
    with pytest.raises(ValueError, match=r"image 'two': phrase '\?' has no letter or digit"):
        ground_batch(grounder, images, [['x'], ['?']])
