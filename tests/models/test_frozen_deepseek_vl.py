"""FrozenDeepseekVLSAM against the stock model with eager attention, fed by the stock processor."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from tiny_deepseek_vl import DEEPSEEK_VL_FAMILIES, IMAGE_TOKEN, PROMPT_TEMPLATE, tiny_lmm, tiny_processor
from tiny_grounder import LOSSES
from tiny_models import tiny_lmm as tiny_qwen
from tiny_models import tiny_sam
from tiny_samples import tiny_sample as tiny_qwen_sample

from flmm.datasets import DeepseekVLImageProcessorWrapper, RefCOCO2PNG
from flmm.geometry import processed_to_image
from flmm.models import FrozenDeepseekVLSAM, FrozenQwenSAM, SAMWrapper

PROMPT = 'What is it?'
TRAINED = ('mask_head.', 'text_proj.', 'text_layer_weights', 'sam.model.prompt_encoder.', 'sam.model.mask_decoder.')
# By design: prompts are boxes, masks and text, never points, and one mask is decoded, whose quality nobody asks for.
UNUSED = (
    'sam.model.prompt_encoder.no_mask_embed.', 'sam.model.prompt_encoder.not_a_point_embed.',
    'sam.model.prompt_encoder.point_embeddings.0.', 'sam.model.prompt_encoder.point_embeddings.1.',
    'sam.model.mask_decoder.iou_prediction_head.', 'sam.model.mask_decoder.output_hypernetworks_mlps.1.',
    'sam.model.mask_decoder.output_hypernetworks_mlps.2.', 'sam.model.mask_decoder.output_hypernetworks_mlps.3.',
)  # fmt: skip
BATCH = [
    (['a', 'some blue circle'], (100, 160), 1),
    (['red', 'the other one', 'b'], (90, 90), 2),
    (['cat'], (300, 60), 3),
]


def grounder(family, *, lmm=None, seed=0, **kwargs):
    lmm = tiny_lmm(family) if lmm is None else lmm
    torch.manual_seed(seed)
    return FrozenDeepseekVLSAM(
        lmm=lmm,
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 32},
        sam=SAMWrapper(sam=tiny_sam()),
        **LOSSES,
        **kwargs,
    )


def sample_of(family, phrases, *, size=(100, 160), seed=0, image=None):
    rng = np.random.default_rng(seed)
    height, width = size
    masks = np.zeros((len(phrases), height, width), dtype=np.uint8)
    for mask in masks:
        top, left = rng.integers(height // 2), rng.integers(width // 2)
        mask[top : top + height // 3, left : left + width // 3] = 1
    if image is None:
        image = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    wrapper = DeepseekVLImageProcessorWrapper(
        pretrained_model_name_or_path=tiny_processor(family), prompt_template=PROMPT_TEMPLATE
    )
    item = {
        'img_path': f'random_{seed}.jpg',
        'image': image,
        'text': phrases,
        'gt_masks': BitmapMasks(masks, height, width),
    }
    return RefCOCO2PNG(image_processor=wrapper, prompt=PROMPT).transform(item)


def batch_of(family):
    return [sample_of(family, phrases, size=size, seed=seed) for phrases, size, seed in BATCH]


def stock_run(family, sample):
    """What the stock model says of the stock processor's reading of image and text, everything kept."""
    text = f'User: {IMAGE_TOKEN}{PROMPT}\n\nAssistant:' + '.'.join(sample.phrases)
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


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize(('phrases', 'size', 'seed'), BATCH)
def test_maps_and_hidden_states_equal_the_stock_model(family, phrases, size, seed):
    sample = sample_of(family, phrases, size=size, seed=seed)
    (found,) = grounder(family).encode([sample])
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


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_a_batch_equals_its_samples_one_by_one(family):
    model, samples = grounder(family), batch_of(family)
    samples.append(sample_of(family, ['a', 'one more'], image=samples[0].image))  # an image that is there already
    assert len({len(sample.input_ids) for sample in samples}) > 1
    for sample, found in zip(samples, model(samples, mode='predict'), strict=True):
        (alone,) = model([sample], mode='predict')
        for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks'):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=3e-5, rtol=1e-5)


def test_an_image_in_several_samples_is_encoded_once():
    model, (sample, other, _) = grounder('deepseek_vl_hybrid'), batch_of('deepseek_vl_hybrid')
    images = []
    for tower in (model.lmm.model.vision_model, model.lmm.model.high_res_vision_model):
        tower.register_forward_pre_hook(
            lambda module, args, kwargs: images.append(len(args[0] if args else kwargs['pixel_values'])),
            with_kwargs=True,
        )
    model.run_lmm([sample, other, sample])
    assert images == [2, 2]


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
    """[S, hidden]: what the language model is given."""
    given = []
    handle = model.lmm.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(kwargs['inputs_embeds'][0]), with_kwargs=True
    )
    model.run_lmm([sample])
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


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize(('size', 'cell'), PLACES)
def test_a_dot_in_the_image_changes_the_column_of_its_cell_and_no_other(family, size, cell):
    model = grounder(family)
    local_towers(model.lmm, fine=False)
    plain, dotted = (sample_of(family, ['a'], size=size, image=image) for image in painted(size, cell))
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
    model = grounder(family)
    local_towers(model.lmm, coarse=False)
    plain, dotted = (sample_of(family, ['a'], size=size, image=image) for image in painted(size, cell))
    change = (embeddings_of(model, plain) - embeddings_of(model, dotted)).norm(dim=1)
    change = change[plain.input_ids == model.lmm.config.image_token_id].view(24, 24)
    away = ((change > 1e-4).nonzero() - torch.tensor(cell)).abs()
    assert away.max() <= 2
    highest = torch.tensor(divmod(change.argmax().item(), 24))
    assert (highest - torch.tensor(cell)).abs().max() <= 1


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_padding_is_cut_off_behind_the_mask_head(family):
    model, sample = grounder(family), sample_of(family, ['a'], size=(120, 240))
    (found,) = model([sample], mode='predict')
    with torch.no_grad():
        logits = model.mask_head(found.mask_attentions)
    assert logits.shape == (1, 32, 32)
    # A quarter of the square lies above the image, a quarter below: eight rows of cells each.
    expected = torch.nn.functional.interpolate(logits[None, :, 8:24], size=(120, 240), mode='bilinear')[0]
    torch.testing.assert_close(found.pred_masks, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pred_masks, processed_to_image(logits, sample.meta_data))


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_a_training_step_moves_the_trained_part_and_nothing_else(family):
    model, samples = grounder(family), batch_of(family)[:2]
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)  # moves whatever has a gradient
    sum(model(samples, mode='loss').values()).backward()
    optimizer.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    trained = {name for name in before if name.startswith(TRAINED)}
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == trained
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name not in trained)
    assert moved == {name for name in trained if not name.startswith(UNUSED)}


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_a_bfloat16_lmm_takes_pixels_of_float32(family):
    model, sample = grounder(family, lmm=tiny_lmm(family).bfloat16()), batch_of(family)[0]
    assert {tensor.dtype for tensor in sample.lmm_inputs.values()} == {torch.float32}
    (low,), (high,) = model.encode([sample]), grounder(family).encode([sample])
    assert low.attentions.dtype == torch.float32
    torch.testing.assert_close(low.attentions.sum(dim=(2, 3)), high.attentions.sum(dim=(2, 3)), atol=0.05, rtol=0)


def test_lmms_and_samples_of_other_families_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'qwen2_5_vl'; FrozenDeepseekVLSAM does not run it, FrozenQwenSAM"):
        grounder('deepseek_vl', lmm=tiny_qwen())
    with pytest.raises(ValueError, match=r"'deepseek_vl'; FrozenQwenSAM does not run it, FrozenDeepseekVLSAM does"):
        FrozenQwenSAM(lmm=tiny_lmm(), mask_head={}, sam={}, loss_mask={}, loss_dice={})
    with pytest.raises(ValueError, match=r"random_0\.jpg' was processed with image tokens \[261\], the model has 258"):
        grounder('deepseek_vl').encode([tiny_qwen_sample(['a'])])
