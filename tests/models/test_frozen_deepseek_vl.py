"""FrozenDeepseekVLSAM against the stock model with eager attention, fed by the stock processor."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_deepseek_vl import DEEPSEEK_VL_FAMILIES, IMAGE_TOKEN, tiny_lmm, tiny_processor
from tiny_families import build_grounder, build_wrapper, make_sample
from tiny_models import tiny_lmm as tiny_qwen_lmm
from tiny_samples import with_coarse

from flmm.geometry import processed_to_image
from flmm.models import FrozenQwenSAM
from flmm.models.frozen_deepseek_vl import FrozenDeepseekVLSAM

REST = {'mask_head': {}, 'sam': {}, 'loss_mask': {}, 'loss_dice': {}}
families = pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)


def stock_run(family, sample):
    """What the stock model says of the stock processor's reading of image and text, everything kept."""
    text = f'User: {IMAGE_TOKEN}What is it?\n\nAssistant:' + '.'.join(sample.phrases)
    inputs = tiny_processor(family)(text=[text], images=[sample.image], return_tensors='pt')
    lmm = tiny_lmm(family)
    lmm.set_attn_implementation('eager')
    with torch.no_grad():
        output = lmm(**inputs, output_attentions=True, output_hidden_states=True)
    return inputs['input_ids'][0], output


def f_lmm_maps(ids, attentions, rows):
    """F-LMM's reading, anew: columns of the placeholder, as 24 rows of 24, a mean over a phrase, layer by layer."""
    columns = ids == tiny_processor().tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    maps = []
    for attention in attentions:
        to_image = attention[0][:, :, columns]
        maps.append(to_image.view(*to_image.shape[:2], 24, 24)[:, rows].mean(dim=1))
    return torch.cat(maps)


@families
@pytest.mark.parametrize(('phrases', 'size'), [(['a', 'some blue circle'], (100, 160)), (['cat'], (301, 60))])
def test_maps_and_hidden_states_equal_the_stock_model_fed_by_the_stock_processor(family, phrases, size):
    sample = make_sample(build_wrapper(family), phrases, size=size, independent=False)
    (found,) = build_grounder(family).encode([sample])
    ids, output = stock_run(family, sample)
    assert torch.equal(ids, sample.input_ids)
    states = []
    for mask in range(sample.num_masks):
        rows = sample.mask_ids == mask
        expected = f_lmm_maps(ids, output.attentions, rows)
        assert expected.shape == (2 * 4, 24, 24)
        torch.testing.assert_close(found.attentions[mask], expected, atol=1e-5, rtol=1e-5)
        states.append(torch.stack([hidden[0, rows] for hidden in output.hidden_states[1:]]))
    torch.testing.assert_close(found.hidden_states, torch.cat(states, dim=1), atol=1e-5, rtol=1e-5)


def test_an_image_in_several_samples_is_encoded_once():
    wrapper, model = build_wrapper('deepseek_vl_hybrid'), build_grounder('deepseek_vl_hybrid')
    sample, other = make_sample(wrapper, ['a', 'b']), make_sample(wrapper, ['c'], seed=5)
    images = []
    for tower in (model.lmm.model.vision_model, model.lmm.model.high_res_vision_model):
        tower.register_forward_pre_hook(
            lambda module, args, kwargs: images.append(len(args[0] if args else kwargs['pixel_values'])),
            with_kwargs=True,
        )
    together, _ = model.run_lmm([sample, other, sample])
    assert images == [2, 2]
    torch.testing.assert_close(together[0], together[2], atol=1e-6, rtol=0)


def local_towers(lmm, *, coarse=True, fine=True):
    """Silence attention between the cells of the vision towers, and either tower."""
    model = lmm.model
    silent = [layer.self_attn.out_proj for layer in model.vision_model.encoder.layers]
    if hasattr(model, 'high_res_vision_model'):
        silent += [layer.attn.proj for layer in model.high_res_vision_model.vision_encoder.layers]
        silent += [] if coarse else [model.aligner.vision_proj]
        silent += [] if fine else [model.aligner.high_res_vision_proj]
    with torch.no_grad():
        for linear in silent:
            linear.weight.zero_()
            linear.bias.zero_()


def embeddings_of(model, sample):
    """[P, hidden]: what the language model is given of image and prompt."""
    given = []
    handle = model.lmm.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(kwargs['inputs_embeds'][0]), with_kwargs=True
    )
    model.read_image(sample)
    handle.remove()
    return given[0]


def painted(size, cell):
    """A gray image, and one with a dot at the middle of a cell of the 24 x 24 that lie over its padded square."""
    (height, width), side = size, max(size)
    y = (cell[0] + 0.5) / 24 * side - (side - height) / 2
    x = (cell[1] + 0.5) / 24 * side - (side - width) / 2
    pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    dotted = pixels.copy()
    dotted[round(y) - 4 : round(y) + 4, round(x) - 4 : round(x) + 4] = (250, 10, 90)
    return Image.fromarray(pixels), Image.fromarray(dotted)


PLACES = [((800, 600), (2, 5)), ((600, 800), (10, 23)), ((790, 790), (0, 0)), ((783, 201), (22, 12))]


@families
@pytest.mark.parametrize(('size', 'cell'), PLACES)
def test_a_dot_in_the_image_changes_the_column_of_its_cell_and_no_other(family, size, cell):
    model = build_grounder(family)
    local_towers(model.lmm, fine=False)
    plain, dotted = (make_sample(build_wrapper(family), ['a'], image=image) for image in painted(size, cell))
    changed = (embeddings_of(model, plain) - embeddings_of(model, dotted)).abs().amax(dim=1) > 1e-4
    first = plain.input_ids.tolist().index(model.lmm.config.image_token_id)
    assert changed.nonzero().flatten().tolist() == [first + 24 * cell[0] + cell[1]]
    # And in what the mask head reads it is that cell.
    layout, columns = plain.layout.tokens.tolist(), plain.views[0].columns.tolist()
    assert layout[columns.index(first + 24 * cell[0] + cell[1])] == [*cell, 1]


@pytest.mark.parametrize(('size', 'cell'), PLACES)
def test_a_dot_changes_what_the_fine_tower_says_at_its_cell_to_within_one(size, cell):
    """Its convolutions of stride 2 see a cell from an eighth behind its top left corner, and into the cells around."""
    family = 'deepseek_vl_hybrid'
    model = build_grounder(family)
    local_towers(model.lmm, coarse=False)
    plain, dotted = (make_sample(build_wrapper(family), ['a'], image=image) for image in painted(size, cell))
    change = (embeddings_of(model, plain) - embeddings_of(model, dotted)).norm(dim=1)
    change = change[plain.input_ids[: len(change)] == model.lmm.config.image_token_id].view(24, 24)
    away = ((change > 1e-4).nonzero() - torch.tensor(cell)).abs()
    assert away.max() <= 2
    highest = torch.tensor(divmod(change.argmax().item(), 24))
    assert (highest - torch.tensor(cell)).abs().max() <= 1


@families
def test_padding_is_cut_off_behind_the_mask_head(family):
    model = build_grounder(family)
    sample = make_sample(build_wrapper(family), ['a'], size=(120, 240))
    (found,) = model([sample], mode='predict')
    with torch.no_grad():
        logits = model.mask_head(found.mask_attentions)
    assert logits.shape == (1, 24, 24)
    # A quarter of the square lies above the image, a quarter below: six rows of cells each.
    expected = torch.nn.functional.interpolate(logits[None, :, 6:18], size=(120, 240), mode='bilinear')[0]
    torch.testing.assert_close(found.pred_masks, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pred_masks, processed_to_image(logits, sample.meta_data))


@families
def test_a_bfloat16_lmm_takes_pixels_of_float32(family):
    sample = make_sample(build_wrapper(family), ['a', 'b'])
    model = build_grounder(family)
    (high,) = model.encode([sample])
    model.lmm.bfloat16()
    (low,) = model.encode([sample])
    assert {tensor.dtype for tensor in sample.lmm_inputs.values()} == {torch.float32}
    assert (low.attentions.dtype, low.hidden_states.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(low.attentions.sum(dim=(2, 3)), high.attentions.sum(dim=(2, 3)), atol=0.1, rtol=0)


def test_lmms_and_samples_of_other_families_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'qwen2_5_vl'; FrozenDeepseekVLSAM does not run it, FrozenQwenSAM does"):
        FrozenDeepseekVLSAM(lmm=tiny_qwen_lmm(), **REST)
    with pytest.raises(ValueError, match=r"'deepseek_vl'; FrozenQwenSAM does not run it, FrozenDeepseekVLSAM does"):
        FrozenQwenSAM(lmm=tiny_lmm(), **REST)
    with pytest.raises(ValueError, match=r"random_0\.jpg' was processed to \['image_grid_thw', 'pixel_values'\]"):
        build_grounder('deepseek_vl').encode([make_sample(build_wrapper('qwen2_5_vl'), ['a'])])
    # LLaVA's inputs have the same names
    with pytest.raises(ValueError, match=r"random_0\.jpg' was processed with image tokens \[260\], the model has 258"):
        build_grounder('deepseek_vl').encode([make_sample(build_wrapper('llava'), ['a'])])


def test_the_coarse_loss_leaves_padding_out():
    model = build_grounder('deepseek_vl')
    sample = make_sample(build_wrapper('deepseek_vl'), ['a'], size=(90, 180))  # a quarter of padding above and below
    before = model(([sample]), mode='loss')
    (found,) = model._ground([sample], model.encode([sample]))
    logits = found.coarse.small
    rows = slice(len(logits[0]) // 4, 3 * len(logits[0]) // 4)
    changed = logits.clone()
    changed[:, : rows.start], changed[:, rows.stop :] = 9.0, 9.0
    for name, loss in model._losses([with_coarse(found, changed)]).items():
        torch.testing.assert_close(loss, before[name], atol=1e-6, rtol=0)
    changed[:, rows.start] = 9.0
    assert model._losses([with_coarse(found, changed)])['loss_mask'] > before['loss_mask'] + 0.01
