import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_samples import tiny_batch

from flmm.models.finite import NonFiniteError

STAGES = {
    'lmm.model.language_model.layers.1.self_attn.q_proj.weight': "the LMM's attention",
    'lmm.model.language_model.norm.weight': "the LMM's hidden states",
    'sam.model.image_encoder.patch_embed.proj.bias': "SAM's image encoder",
    'mask_head.conv_seg.bias': 'the mask head',
    'text_proj.bias': 'the projection of text',
    'sam.model.mask_decoder.mask_tokens.weight': "SAM's mask decoder",
    'sam.model.mask_decoder.iou_prediction_head.layers.0.bias': "SAM's scores",
}


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
@pytest.mark.parametrize(('parameter', 'stage'), STAGES.items(), ids=STAGES.values())
def test_predicting_names_image_and_stage(parameter, stage, value):
    model, samples = tiny_grounder().eval(), tiny_batch()
    with torch.no_grad():
        model.get_parameter(parameter).view(-1)[:] = value
    for mode in ('predict', 'tensor'):
        with pytest.raises(
            NonFiniteError, match=rf"image 'random_1\.jpg': {stage} gave \d+ of \d+ numbers that are not finite"
        ):
            model(samples, mode=mode)


def test_the_second_image_is_named_if_it_is_the_first_that_fails():
    model, samples = tiny_grounder().eval(), tiny_batch()
    samples[1].lmm_inputs['pixel_values'] *= torch.nan
    with pytest.raises(NonFiniteError, match=r"image 'random_2\.jpg': the LMM's attention gave"):
        model(samples, mode='predict')


def test_the_loss_is_left_to_training():
    model, samples = tiny_grounder(), tiny_batch()
    with torch.no_grad():
        model.mask_head.conv_seg.bias[:] = torch.nan
    assert model(samples, mode='loss')['loss_mask'].isnan()
