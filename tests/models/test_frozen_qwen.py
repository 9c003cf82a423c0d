"""FrozenQwenSAM: what is frozen and what is trained, losses, batching, errors."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_grounder import LOSSES, tiny_grounder
from tiny_layouts import random_layout
from tiny_models import FAMILIES, tiny_lmm, tiny_sam
from tiny_samples import is_image, pruned, stock_inputs, tiny_batch, tiny_sample
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from flmm.geometry import processed_to_image
from flmm.models import FrozenQwenSAM, SAMWrapper
from flmm.qwen.layout_inputs import image_features, position_ids

TRAINED = ('mask_head.', 'text_proj.', 'text_layer_weights', 'sam.model.prompt_encoder.', 'sam.model.mask_decoder.')


@pytest.mark.parametrize('family', FAMILIES)
def test_a_batch_equals_its_samples_one_by_one(family):
    model, samples = tiny_grounder(family), tiny_batch(family)
    together = model(samples, mode='predict')
    for sample, found in zip(samples, together, strict=True):
        (alone,) = model([sample], mode='predict')
        for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks'):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=1e-5, rtol=1e-5)
        for text, expected in zip(found.text_embeds, alone.text_embeds, strict=True):
            torch.testing.assert_close(text, expected, atol=1e-5, rtol=1e-5)


def test_padding_is_never_taken_for_an_image_token():
    model, samples = tiny_grounder(), tiny_batch()
    for sample in samples:
        sample.input_ids[sample.input_ids == 0] = 1
        sample.input_ids[is_image(sample)] = 0
    model.lmm.config.image_token_id = 0
    together, _ = model.run_lmm(samples)
    for sample, found in zip(samples, together, strict=True):
        ((alone,), _) = model.run_lmm([sample])
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_a_padded_batch_needs_no_mask(monkeypatch):
    masks = []

    def recording(*args, **kwargs):
        masks.append(args[4])
        return sdpa_attention_forward(*args, **kwargs)

    monkeypatch.setattr('flmm.models.attention_capture.sdpa_attention_forward', recording)
    model, samples = tiny_grounder(), tiny_batch()
    assert len({sample.prompt_length for sample in samples}) > 1
    model.run_lmm(samples)
    prompts, phrases = masks[: model.num_layers], masks[model.num_layers :]
    assert prompts == [None] * model.num_layers
    sizes = [(sum(map(len, sample.phrases)), sample.prompt_length) for sample in samples]  # a token is a byte
    assert [tuple(mask.shape) for mask in phrases] == 2 * [(1, 1, texts, before + texts) for texts, before in sizes]


@pytest.mark.parametrize('independent', [True, False])
def test_phrases_may_come_in_any_order_in_the_sequence(independent):
    model = tiny_grounder()
    sample = tiny_sample(['a', 'some blue circle', 'cat'], independent=independent)
    places = torch.tensor([2, 0, 1])  # phrase i of ``sample`` is phrase places[i] of ``renumbered``
    renumbered = replace(
        sample,
        mask_ids=torch.where(sample.mask_ids >= 0, places[sample.mask_ids], -1),
        phrases=[sample.phrases[i] for i in places.argsort()],
    )
    (expected,), (found,) = (model([of_either], mode='predict') for of_either in (sample, renumbered))
    for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks'):
        torch.testing.assert_close(getattr(found, name)[places], getattr(expected, name), atol=1e-5, rtol=1e-5)
    for i, place in enumerate(places):
        torch.testing.assert_close(found.text_embeds[place], expected.text_embeds[i])


def test_fields_have_the_shapes_that_the_sample_states():
    model, samples = tiny_grounder(), tiny_batch()
    for sample, found in zip(samples, model(samples, mode='tensor'), strict=True):
        image_frame = (sample.num_masks, sample.image.height, sample.image.width)
        assert found.mask_attentions.shape == (sample.num_masks, 8, *sample.grid_size)
        assert found.pred_masks.shape == found.sam_pred_masks.shape == image_frame
        assert [text.shape for text in found.text_embeds] == [(len(phrase), 16) for phrase in sample.phrases]


def test_text_embeds_are_projected_means_over_layers():
    model, sample = tiny_grounder(), tiny_batch()[0]
    with torch.no_grad():
        model.text_layer_weights.copy_(torch.tensor([0.3, -1.2]))
    (features,) = model.encode([sample])
    (found,) = model([sample], mode='predict')
    weights = torch.tensor([0.3, -1.2], dtype=torch.float64).softmax(dim=0)
    mixed = sum(w * states.double() for w, states in zip(weights, features.hidden_states, strict=True))
    expected = mixed @ model.text_proj.weight.double().T + model.text_proj.bias.double()
    torch.testing.assert_close(torch.cat(found.text_embeds).double(), expected, atol=1e-5, rtol=1e-5)


def test_refinement_is_the_wrapper_called_with_the_coarse_mask_and_the_text():
    model, sample = tiny_grounder(), tiny_batch()[0]
    (found,) = model([sample], mode='predict')
    with torch.no_grad():
        coarse = processed_to_image(model.mask_head(found.mask_attentions), sample.meta_data)
        refined = model.sam(
            image_embedding=model.sam.encode_images([sample.image])[0],
            image_size=(sample.image.height, sample.image.width),
            coarse_logits=coarse,
            text_embeds=found.text_embeds,
        )
    torch.testing.assert_close(found.pred_masks, coarse, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sam_pred_masks, refined, atol=1e-6, rtol=0)


def test_losses_are_means_over_all_masks_of_the_batch():
    model, samples = tiny_grounder(), tiny_batch()
    losses = model(samples, mode='loss')
    expected = dict.fromkeys(losses, 0.0)
    total = sum(sample.num_masks for sample in samples)
    for found in model(samples, mode='predict'):
        with torch.no_grad():
            logits = model.mask_head(found.mask_attentions)
        coarse_target = F.interpolate(found.masks[None].double(), size=logits.shape[-2:], mode='area')[0]
        pairs = {'': (logits, coarse_target), 'sam_': (found.sam_pred_masks, found.gt_masks.double())}
        for prefix, (prediction, target) in pairs.items():
            for x, y in zip(prediction.double().flatten(1), target.flatten(1), strict=True):
                expected[f'{prefix}loss_mask'] += F.binary_cross_entropy_with_logits(x, y) / total
                p = x.sigmoid()
                dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)  # naive dice with eps 1
                expected[f'{prefix}loss_dice'] += dice / total
    assert set(losses) == {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice'}
    for name, value in losses.items():
        assert value.item() == pytest.approx(float(expected[name]), abs=1e-5), name


def test_only_the_trained_part_gets_gradient_and_moves():
    model, samples = tiny_grounder(), tiny_batch()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(model(samples, mode='loss').values()).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name.startswith(TRAINED) and parameter.grad is not None), name
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            assert torch.equal(parameter, before[name]), name
    assert all(
        not torch.equal(parameter, before[name]) for name, parameter in model.mask_head.named_parameters('mask_head')
    )
    for name in ('text_proj.weight', 'text_layer_weights', 'sam.model.mask_decoder.mask_tokens.weight'):
        assert not torch.equal(dict(model.named_parameters())[name], before[name]), name


def test_frozen_parts_stay_in_eval_mode_whatever_train_is_called():
    model = tiny_grounder()
    for mode in (True, False, True):
        model.train(mode)
        assert model.mask_head.training == model.sam.model.mask_decoder.training == mode
        frozen = [*model.lmm.modules(), *model.sam.model.image_encoder.modules()]
        assert not any(module.training for module in frozen)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('mode', ['spread', 'copy'])
def test_a_batch_may_mix_layouts(family, mode):
    model, samples = tiny_grounder(family, coarse_attention=mode), tiny_batch(family)
    mixed = [
        pruned(samples[0], random_layout(samples[0].grid_size, seed=3)),
        samples[1],
        pruned(samples[2], random_layout(samples[2].grid_size, seed=5)),
        pruned(samples[0], random_layout(samples[0].grid_size, seed=4)),  # the same image, read otherwise
    ]
    assert len({len(sample.layout) for sample in mixed}) == 4
    for sample, found in zip(mixed, model(mixed, mode='predict'), strict=True):
        (alone,) = model([sample], mode='predict')
        torch.testing.assert_close(found.mask_attentions, alone.mask_attentions, atol=1e-5, rtol=1e-5)
        for name in ('pred_masks', 'sam_pred_masks'):  # logits of several units
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize('family', FAMILIES)
def test_attention_to_coarse_tokens_is_laid_onto_their_units(family):
    sample = tiny_batch(family)[0]
    sample = pruned(sample, random_layout(sample.grid_size, seed=3))
    (spread,) = tiny_grounder(family).encode([sample])
    (copied,) = tiny_grounder(family, coarse_attention='copy').encode([sample])
    covered = 0
    for top, left, size in sample.layout.tokens.tolist():
        of_token = (..., slice(top, top + size), slice(left, left + size))
        on_units = copied.attentions[of_token].flatten(2)
        assert torch.equal(on_units, on_units[..., :1].expand_as(on_units))  # one number a token
        torch.testing.assert_close(spread.attentions[of_token].flatten(2) * size**2, on_units, atol=1e-7, rtol=1e-6)
        covered += size**2
    assert covered == spread.attentions[0, 0].numel()


@pytest.mark.parametrize('family', FAMILIES)
def test_attention_over_a_pruned_grid_equals_the_eager_model(family):
    sample = tiny_batch(family, independent=False)[0]
    sample = pruned(sample, random_layout(sample.grid_size, seed=3))
    model = tiny_grounder(family)
    (found,) = model.encode([sample])

    lmm = tiny_lmm(family)
    lmm.set_attn_implementation('eager')
    inputs = stock_inputs(sample)
    layouts = [sample.layout]
    features = image_features(lmm.model, inputs['pixel_values'], inputs['image_grid_thw'], layouts)
    positions, _ = position_ids(
        lmm.model, inputs['input_ids'], mm_token_type_ids=inputs['mm_token_type_ids'],
        image_grid_thw=inputs['image_grid_thw'], layouts=layouts,
    )  # fmt: skip
    with torch.no_grad():
        output = lmm.model(
            input_ids=inputs['input_ids'], position_ids=positions, mm_encoder_outputs={'image': features},
            output_attentions=True,
        )  # fmt: skip
    attention = torch.cat(output.attentions, dim=1)[0]
    for mask in range(sample.num_masks):
        of_phrase = attention[:, sample.mask_ids == mask][:, :, is_image(sample)].mean(dim=1)
        expected = torch.zeros(len(of_phrase), *sample.grid_size)
        for index, (top, left, size) in enumerate(sample.layout.tokens.tolist()):
            expected[:, top : top + size, left : left + size] = of_phrase[:, index, None, None] / size**2
        torch.testing.assert_close(found.attentions[mask], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.attentions[mask].sum(dim=(1, 2)), of_phrase.sum(dim=1), atol=1e-6, rtol=0)


def test_carried_features_take_the_place_of_the_frozen_pass():
    model, samples = tiny_grounder(), tiny_batch()
    expected = model(samples, mode='loss')
    carrying = [
        replace(sample, features=features) for sample, features in zip(samples, model.encode(samples), strict=True)
    ]
    calls = []
    for frozen in (model.lmm.model, model.sam.model.image_encoder):
        frozen.register_forward_hook(lambda *_: calls.append(1))
    for mixed in (carrying, [carrying[0].to('cpu'), samples[1], carrying[2]]):
        found = model(mixed, mode='loss')
        for name, loss in found.items():
            torch.testing.assert_close(loss, expected[name], atol=1e-5, rtol=1e-5)
    assert len(calls) == 2  # once each, for the one sample that carried nothing


def test_lm_head_is_not_run():
    model = tiny_grounder()
    calls = []
    model.lmm.lm_head.register_forward_hook(lambda *_: calls.append(1))
    model(tiny_batch(), mode='predict')
    assert calls == []


def test_predict_keeps_no_graph_and_tensor_does():
    model, samples = tiny_grounder(), tiny_batch()[:1]
    assert not model(samples, mode='predict')[0].sam_pred_masks.requires_grad
    assert model(samples, mode='tensor')[0].sam_pred_masks.requires_grad


def test_channels_are_read_from_the_lmm():
    assert tiny_grounder().mask_head.state_dict()['encoder.0.0.convs.0.conv.weight'].shape[1] == 2 * 4


def test_bfloat16_lmm_feeds_a_float32_head():
    torch.manual_seed(0)
    model = FrozenQwenSAM(
        lmm=tiny_lmm().bfloat16(),
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=tiny_sam()),
        **LOSSES,
    )
    samples = tiny_batch()
    (low, *_) = model.encode(samples)
    (high, *_) = tiny_grounder().encode(samples)
    assert low.attentions.dtype == torch.float32
    torch.testing.assert_close(low.attentions.sum(dim=(2, 3)), high.attentions.sum(dim=(2, 3)), atol=0.05, rtol=0)
    assert all(loss.dtype == torch.float32 for loss in model(samples, mode='loss').values())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'merge': 'sum'}, "merge is 'sum', expected 'mean' or 'max'"),
        ({'coarse_attention': 'mean'}, "coarse_attention is 'mean', expected 'spread' or 'copy'"),
        ({'compiled': {'unet': {}}}, "compiled names 'unet', expected some of"),
        (
            {'lmm': nn.Linear(2, 2)},
            'lmm is a Linear of model type None, which belongs to no known family of LMMs. Known are qwen2_vl, ',
        ),
    ],
)
def test_bad_arguments_are_named(changes, message):
    arguments = {
        'lmm': tiny_lmm(),
        'mask_head': {'type': 'flmm.UNetHead', 'base_channels': 4},
        'sam': SAMWrapper(sam=tiny_sam()),
        **LOSSES,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        FrozenQwenSAM(**arguments)


def test_modules_are_compiled_when_asked():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = tiny_grounder(compiled={'mask_head': {'backend': backend}})
    plain, samples = tiny_grounder(), tiny_batch()[:1]
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    (expected,) = plain(samples, mode='predict')
    assert graphs == []
    (found,) = compiled(samples, mode='predict')
    assert len(graphs) > 0
    torch.testing.assert_close(found.pred_masks, expected.pred_masks, atol=1e-5, rtol=1e-5)


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode is 'train', expected 'loss', 'predict' or 'tensor'"):
        tiny_grounder()(tiny_batch(), mode='train')


def test_a_sample_without_truth_is_grounded_but_has_no_loss():
    model, samples = tiny_grounder(), tiny_batch()
    expected = model(samples, mode='predict')
    samples[1].masks = samples[1].gt_masks = None
    for found, with_truth in zip(model(samples, mode='predict'), expected, strict=True):
        torch.testing.assert_close(found.sam_pred_masks, with_truth.sam_pred_masks, atol=0, rtol=0)
    with pytest.raises(ValueError, match=r"image 'random_2\.jpg' has no truth masks; there is no loss without them"):
        model(samples, mode='loss')


def test_a_sample_of_another_processor_is_refused():
    sample = tiny_sample(['a'])
    sample.input_ids[is_image(sample)] = 3
    with pytest.raises(ValueError, match=r"random_0\.jpg' was processed with image tokens \[3\], the model has 261"):
        tiny_grounder().encode([sample])


@pytest.mark.parametrize('family', FAMILIES)
def test_an_image_in_several_samples_is_encoded_once(family):
    model = tiny_grounder(family)
    sample, other = tiny_sample(['a', 'b'], family=family), tiny_sample(['c'], family=family, seed=5)
    images, patches = [], []
    model.sam.model.image_encoder.register_forward_hook(lambda module, args, output: images.append(len(output)))
    model.lmm.model.visual.register_forward_hook(lambda module, args, output: patches.append(len(args[0])))
    found = model([sample, other, sample], mode='predict')
    assert images == [2]
    sizes = [len(one.lmm_inputs['pixel_values']) for one in (sample, other)]
    # The layers of Qwen3.5 that carry a state read one prompt at a time, and so one image.
    assert patches == (sizes if family == 'qwen3_5' else [sum(sizes)])
    for one, together in zip([sample, other, sample], found, strict=True):
        (alone,) = model([one], mode='predict')
        torch.testing.assert_close(together.mask_attentions, alone.mask_attentions, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.sam_pred_masks, alone.sam_pred_masks, atol=1e-5, rtol=1e-5)
