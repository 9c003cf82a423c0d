"""A model in which nothing is trained: chosen heads, a threshold, SAM as it is."""

import re

import pytest
import torch
from tiny_families import build_grounder, build_wrapper, make_batch, make_sample
from tiny_models import tiny_sam

from flmm.geometry import image_cells, processed_to_image
from flmm.models import SAMWrapper
from flmm.models.phrase_decoder import PhraseDecoder

HEAD = {'type': 'flmm.AttentionThreshold'}


def training_free(model_type, **settings):
    sam = SAMWrapper(sam=tiny_sam(), use_text=False, use_mask=False, box_of='largest_component')
    return build_grounder(model_type, mask_head=HEAD, heads=[(1, 0), (1, 3)], sam=sam, **settings)


@pytest.mark.parametrize('model_type', ['qwen2_5_vl', 'llava', 'llava_next', 'deepseek_vl'])
def test_masks_are_those_of_the_parts(model_type):
    model, samples = training_free(model_type), make_batch(model_type)
    for sample, found in zip(samples, model(samples, mode='predict'), strict=True):
        rows, columns = image_cells(sample.meta_data, sample.grid_size)
        inside = torch.zeros(sample.num_masks, *sample.grid_size, dtype=torch.bool)
        inside[:, rows, columns] = True
        assert found.mask_attentions.shape[1] == 2 * model.num_views
        coarse = processed_to_image(model.mask_head(found.mask_attentions, inside), sample.meta_data)
        torch.testing.assert_close(found.pred_masks, coarse, rtol=0, atol=1e-5)
        (embedding,) = model.sam.encode_images([sample.image])
        refined = model.sam(embedding, sample.image_size, coarse)
        torch.testing.assert_close(found.sam_pred_masks, refined, rtol=0, atol=1e-4)
        assert found.text_embeds is None


def test_attention_to_padding_does_not_reach_the_masks():
    model = training_free('llava')
    sample = make_sample(build_wrapper('llava'), ['a', 'the cat'], size=(60, 200))
    (features,) = model.encode([sample])
    rows, columns = image_cells(sample.meta_data, sample.grid_size)
    assert rows.stop - rows.start < sample.grid_size[0]
    moved = torch.full_like(features.attentions, 0.9)
    moved[..., rows, columns] = features.attentions[..., rows, columns]
    decoder = PhraseDecoder(mask_head=model.mask_head, sam=model.sam, padding_cut=model.padding_cut)
    (before,) = decoder.coarse_logits([sample], [features.attentions])
    (after,) = decoder.coarse_logits([sample], [moved])
    assert torch.equal(before, after)


def test_nothing_is_trained_stored_or_lost():
    model, sample = training_free('qwen2_5_vl'), make_batch('qwen2_5_vl')[0]
    assert not model.is_trained
    assert model.state_dict() == {}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.text_proj is None
    assert model.text_layer_weights is None
    model.load_state_dict({})
    with pytest.raises(ValueError, match=r"the checkpoint does not hold this model's trainable part: .*mask_head"):
        model.load_state_dict({'mask_head.conv_seg.bias': torch.zeros(1)})
    with pytest.raises(ValueError, match='there is nothing to train: AttentionThreshold has no parameters'):
        model([sample], mode='loss')


def test_a_trained_mask_head_is_trained():
    model = build_grounder('qwen2_5_vl', sam=SAMWrapper(sam=tiny_sam(), use_text=False))
    assert model.is_trained
    names = model.state_dict().keys()
    assert {name.split('.')[0] for name in names} == {'mask_head', 'sam'}  # nor is there a projection that nobody reads
    losses = model(make_batch('qwen2_5_vl'), mode='loss')
    sum(losses.values()).backward()
    assert model.mask_head.conv_seg.bias.grad.abs() > 0


def test_text_would_be_read_at_random_and_is_refused():
    message = "mask_head 'flmm.AttentionThreshold' has no parameters, so nothing is trained, and SAM would read random"
    with pytest.raises(ValueError, match=re.escape(message)):
        build_grounder('qwen2_5_vl', mask_head=HEAD)
