"""The differences from F-LMM: each is undone while its variant runs, and then stands again."""

from pathlib import Path

import f_lmm_variants
import pytest
import tiny_families
import torch
from f_lmm_ways import PATCHES

from flmm.config import read_config
from flmm.models import losses
from flmm.models.mask_head import mask_refiner

CONFIG = Path(__file__).parents[3] / f_lmm_variants.CONFIG


def test_a_variant_is_an_override_or_a_patch():
    assert {*f_lmm_variants.OVERRIDES, *PATCHES} == set(f_lmm_variants.VARIANTS) - {'default'}
    assert not f_lmm_variants.OVERRIDES.keys() & PATCHES.keys()


@pytest.mark.parametrize('name', f_lmm_variants.OVERRIDES)
def test_overrides_fit_the_config(name):
    overrides = f_lmm_variants.OVERRIDES[name]
    config = read_config(CONFIG, overrides)
    for key, value in overrides.items():
        found = config
        for part in key.removeprefix('+').split('.'):
            found = found[part]
        assert found == value


def test_a_patch_holds_while_the_variant_runs():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 1:, 1:] = True
    boxes, coverage = mask_refiner.masks_to_boxes(masks), losses.area_coverage(masks, (2, 2))
    with PATCHES['box_one_past'](), PATCHES['coarse_nearest']():
        assert (mask_refiner.masks_to_boxes(masks) - boxes).tolist() == [[0, 0, 1, 1]]
        assert losses.area_coverage(masks, (2, 2)).tolist() == [[[0, 0], [0, 1]]]
    assert torch.equal(mask_refiner.masks_to_boxes(masks), boxes)
    assert torch.equal(losses.area_coverage(masks, (2, 2)), coverage)


def test_one_text_has_every_phrase_with_a_dot_behind_it():
    wrapper, phrases = tiny_families.build_wrapper('qwen2_vl'), ['a', 'some blue circle']
    own, shared = (
        tiny_families.make_sample(wrapper, phrases, independent=independent) for independent in (True, False)
    )
    with PATCHES['one_text']():
        made = tiny_families.make_sample(wrapper, phrases)
    assert own.independent
    assert not made.independent
    assert torch.equal(made.input_ids[:-1], shared.input_ids)
    assert torch.equal(made.mask_ids[:-1], shared.mask_ids)
    between = (shared.mask_ids[shared.prompt_length :] < 0).nonzero() + shared.prompt_length
    assert made.input_ids[-1] == made.input_ids[between]
    assert made.mask_ids[-1] == -1
    assert tiny_families.make_sample(wrapper, phrases).independent


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        ('coarse_nearest', ['loss_mask', 'loss_dice']),
        ('refined_resized', ['sam_loss_mask', 'sam_loss_dice']),
        ('box_one_past', ['sam_loss_mask', 'sam_loss_dice']),
    ],
)
def test_a_patch_changes_the_losses_that_it_is_about(name, changed):
    model = tiny_families.build_grounder('qwen2_vl')
    sample = tiny_families.make_sample(tiny_families.build_wrapper('qwen2_vl'), ['a', 'some blue circle'])
    own = model([sample], mode='loss')
    with PATCHES[name]():
        other = model([sample], mode='loss')
    assert [key for key in own if not torch.equal(own[key], other[key])] == changed
