"""Parameters that no gradient can reach are frozen, all of them and no other, whatever SAM and its prompts."""

import pytest
import torch
from tiny_grounder import LOSSES
from tiny_hf_sams import KINDS, tiny_hf_backend
from tiny_models import tiny_lmm, tiny_sam
from tiny_samples import tiny_batch, tiny_sample

from flmm.models import FrozenQwenSAM, SAMWrapper

HEAD = 'sam.model.mask_decoder.iou_prediction_head.'
PROMPTS = {
    'all': {},
    'no mask': {'use_mask': False},
    'no box': {'use_box': False},
    'no text': {'use_text': False},
    'text alone': {'use_mask': False, 'use_box': False},
    'mask alone': {'use_text': False, 'use_box': False},
    'detached': {'detach_mask_prompt': True},
    'three candidates': {'multimask_output': True},
}

WITH_EDGETAM = [pytest.param('edgetam', 'no box', marks=kind.marks) for kind in KINDS if not isinstance(kind, str)]


def make_model(kind, *, prompts='all', **settings):
    torch.manual_seed(0)
    sam = tiny_sam() if kind == 'sam' else tiny_hf_backend(kind)
    return FrozenQwenSAM(
        lmm=tiny_lmm(),
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=sam, **PROMPTS[prompts]),
        **LOSSES,
        **settings,
    )


def reached(model):
    """Names of the parameters that a batch of several images gives a gradient that is not zero."""
    batch = [*tiny_batch(), *(tiny_sample([phrase], seed=seed) for seed in range(3) for phrase in ('a', 'the cat'))]
    sum(model(batch, mode='loss').values()).backward()
    return {name for name, each in model.named_parameters() if each.grad is not None and bool(each.grad.any())}


@pytest.mark.parametrize(
    ('kind', 'prompts'),
    # EdgeTAM has the parts of SAM 2.1, and takes two seconds a model.
    [*((kind, prompts) for kind in ('sam', 'sam_hq', 'sam2') for prompts in PROMPTS), *WITH_EDGETAM],
)
def test_what_no_gradient_reaches_is_frozen_and_nothing_else(kind, prompts):
    model, free = make_model(kind, prompts=prompts), make_model(kind, prompts=prompts)
    frozen = ('lmm.', 'sam.model.image_encoder.', 'sam.model.prompt_encoder.shared')
    for name, parameter in free.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))

    found, could = reached(model), reached(free)

    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert found == could <= trained
    # Rounding alone moves a bias of keys, which adds the same to all logits of a softmax; and it may be that one of
    # three candidates was never chosen.
    chosen = ('k_proj.bias', 'output_hypernetworks_mlps' if prompts == 'three candidates' else 'k_proj.bias')
    assert all(any(part in name for part in chosen) for name in trained - found)
    assert model.state_dict().keys() == free.state_dict().keys()


@pytest.mark.parametrize('kind', ['sam', *KINDS])
def test_scores_are_trained_where_they_have_a_loss(kind):
    model = make_model(kind, loss_iou={'type': 'mmdet.MSELoss'})
    sum(model(tiny_batch(), mode='loss').values()).backward()
    head = [parameter for name, parameter in model.named_parameters() if name.startswith(HEAD)]
    assert head
    assert all(bool(parameter.grad.any()) for parameter in head)
    assert all((each.grad is not None) == each.requires_grad for each in model.parameters())


def test_phrases_without_target_leave_no_parameter_without_gradient():
    """Other processes wait for a gradient of each parameter, whatever this one has in its batch."""
    model = make_model('sam', existence={'type': 'flmm.ExistenceHead', 'width': 8})
    sample = tiny_sample(['a', 'the cat'])
    sample.masks[:], sample.gt_masks[:] = False, False
    sum(model([sample], mode='loss').values()).backward()
    assert all((each.grad is not None) == each.requires_grad for each in model.parameters())
