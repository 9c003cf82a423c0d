"""SAM-HQ, SAM 2.1 and EdgeTAM as refiners, against transformers' own forward."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_hf_sams import KINDS, tiny_hf_backend, tiny_hf_sam
from transformers import Sam2ImageProcessor, SamImageProcessor

from flmm.geometry import masks_to_boxes
from flmm.models.mask_head.mask_refiner import SAMWrapper

IMAGE_SIZES = [(60, 80), (100, 40), (64, 64)]
SPARSE = {'sam_hq': 2, 'sam2': 3, 'edgetam': 3}
"""Tokens of a box: SAM 2 adds one that stands for no further point."""


def make_wrapper(kind, **options):
    return SAMWrapper(sam=tiny_hf_backend(kind), **options)


def make_image(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def make_coarse(num_masks, size, seed=0):
    noise = 4 * torch.randn(num_masks, 1, 5, 5, generator=torch.Generator().manual_seed(seed)) - 1
    return torch.nn.functional.interpolate(noise, size=size, mode='bilinear', align_corners=False)[:, 0]


def make_texts(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 32, generator=generator) for length in lengths]


def upstream(kind, image, coarse, *, multimask_output):
    """Masks of transformers' own model, one prompt at a time: [M, K, IH, IW] and its IoU scores [M, K]."""
    model, size = tiny_hf_sam(kind), image.shape[:2]
    frame = tiny_hf_backend(kind).frame
    side = 4 * model.prompt_encoder.image_embedding_size[0]
    if kind == 'sam_hq':
        processor = SamImageProcessor(size={'longest_edge': 64}, pad_size={'height': 64, 'width': 64})
    else:
        processor = Sam2ImageProcessor(size={'height': 64, 'width': 64})
        model.mask_decoder.dynamic_multimask_via_stability = False
    inputs = processor(image, return_tensors='pt')
    embedding = model.get_image_embeddings(inputs['pixel_values'])
    if kind == 'sam_hq':
        embedding = {'image_embeddings': embedding[0], 'intermediate_embeddings': embedding[1]}
    else:
        embedding = {'image_embeddings': embedding}
    sizes = [inputs[name] for name in ('original_sizes', 'reshaped_input_sizes') if name in inputs]
    boxes = frame.boxes_from_image(masks_to_boxes(coarse > 0), size)
    masks = frame.logits_from_image(coarse, (side, side))
    found, scores = [], []
    for box, mask in zip(boxes, masks, strict=True):
        output = model(
            **embedding,
            input_boxes=box[None, None],
            input_masks=mask[None, None],
            multimask_output=multimask_output,
        )
        (in_image,) = processor.post_process_masks(output.pred_masks, *sizes, binarize=False)
        found.append(in_image[0])
        scores.append(output.iou_scores[0, 0])
    return torch.stack(found), torch.stack(scores)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', IMAGE_SIZES)
@torch.no_grad()
def test_without_text_it_is_transformers_own_forward(kind, size):
    wrapper = make_wrapper(kind)
    image, coarse = make_image(size), make_coarse(3, size)

    refined = wrapper(wrapper.encode_images([image])[0], size, coarse, make_texts([0, 0, 0]))

    expected, _ = upstream(kind, image, coarse, multimask_output=False)
    assert refined.shape == (3, *size)
    assert expected.std() > 1e-2
    torch.testing.assert_close(refined, expected[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_an_image_3_px_high_is_no_row_of_channels(kind):
    wrapper, image = make_wrapper(kind), make_image((3, 80))
    (embedding,) = wrapper.encode_images([image])

    pixels = wrapper.model.pixels(image)

    assert pixels.shape == (3, 64, 64)
    assert (pixels[0] - pixels[2]).std() > 0.1  # three colours
    (same,) = wrapper.encode_images([Image.fromarray(image)])
    assert all(torch.equal(same[name], part) for name, part in embedding.items())


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_of_transformers_candidates_the_one_nearest_the_coarse_mask(kind):
    size, wrapper = (60, 80), make_wrapper(kind, multimask_output=True)
    image, coarse = make_image(size), make_coarse(6, size)
    coarse[4] = -1.0

    refined = wrapper(wrapper.encode_images([image])[0], size, coarse, make_texts([0] * 6))

    candidates, scores = upstream(kind, image, coarse, multimask_output=True)
    assert candidates.shape == (6, 3, *size)
    for index in range(6):
        masks, wanted = candidates[index] > 0, coarse[index] > 0
        iou = [float((mask & wanted).sum() / (mask | wanted).sum()) for mask in masks]
        best = int(np.argmax(iou)) if wanted.any() else int(scores[index].argmax())
        torch.testing.assert_close(refined[index], candidates[index, best], rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_text_changes_the_mask_and_is_trained(kind):
    size, wrapper = (60, 80), make_wrapper(kind)
    embedding, coarse = wrapper.encode_images([make_image(size)])[0], make_coarse(2, size)
    texts = [text.requires_grad_() for text in make_texts([2, 3])]

    refined = wrapper(embedding, size, coarse, texts)
    refined.square().mean().backward()

    without = wrapper(embedding, size, coarse, make_texts([0, 0]))
    assert all((refined - without).abs().amax(dim=(1, 2)) > 1e-3)
    assert all(text.grad.abs().amax(dim=1).min() > 0 for text in texts)


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_tokens_stand_behind_those_of_the_box(kind):
    size, wrapper = (60, 80), make_wrapper(kind)
    tokens = []
    wrapper.model.mask_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: tokens.append(kwargs['sparse_prompt_embeddings']), with_kwargs=True
    )
    texts = make_texts([2])

    wrapper(wrapper.encode_images([make_image(size)])[0], size, make_coarse(1, size), texts)

    assert tokens[0].shape == (1, 1, SPARSE[kind] + 2, 32)
    assert torch.equal(tokens[0][0, 0, SPARSE[kind] :], texts[0])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('multimask_output', [False, True])
@torch.no_grad()
def test_images_together_equal_images_one_by_one(kind, multimask_output):
    wrapper = make_wrapper(kind, multimask_output=multimask_output)
    sizes, counts = [*IMAGE_SIZES, (40, 90)], [3, 0, 1, 2]
    images = [make_image(size, seed=i) for i, size in enumerate(sizes)]
    coarse = [make_coarse(count, size, seed=i) for i, (count, size) in enumerate(zip(counts, sizes, strict=True))]
    texts = [make_texts(lengths, seed=i) for i, lengths in enumerate(([2, 5, 2], [], [2], [1, 5]))]

    together = wrapper.refine(wrapper.encode_images(images), sizes, coarse, texts)

    assert [len(found.logits) for found in together] == counts
    for image, size, logits, words, found in zip(images, sizes, coarse, texts, together, strict=True):
        alone = wrapper(wrapper.encode_images([image])[0], size, logits, words)
        torch.testing.assert_close(found.logits.in_image(), alone, rtol=0, atol=1e-5)


NOT_USED = {  # what no box, mask or text goes through, nor the first mask comes from
    'sam_hq': ('prompt_encoder.point_embed.0', 'prompt_encoder.point_embed.1', 'prompt_encoder.not_a_point_embed'),
    'sam2': ('mask_decoder.pred_obj_score_head',),
}
NOT_USED = {
    kind: (
        *names,
        'prompt_encoder.no_mask_embed',
        'mask_decoder.iou_prediction_head',
        *(f'mask_decoder.output_hypernetworks_mlps.{candidate}.' for candidate in (1, 2, 3)),
    )
    for kind, names in NOT_USED.items()
}
NOT_USED['edgetam'] = NOT_USED['sam2']


@pytest.mark.parametrize('kind', KINDS)
def test_all_but_the_image_encoder_learns(kind):
    size, wrapper = (60, 80), make_wrapper(kind).train()
    coarse = make_coarse(2, size).requires_grad_()
    embedding = wrapper.encode_images([make_image(size)])[0]

    wrapper(embedding, size, coarse, make_texts([2, 3])).square().mean().backward()

    assert not any(part.requires_grad for part in embedding.values())
    assert not any(module.training for module in wrapper.model.image_encoder.modules())
    assert wrapper.model.mask_decoder.training
    frozen = ('image_encoder.', 'prompt_encoder.shared_embedding')
    for name, parameter in wrapper.model.named_parameters():
        has_gradient = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        # Whether the scores are trained, the model says that has their loss.
        unused = (*frozen, *(part for part in NOT_USED[kind] if part != 'mask_decoder.iou_prediction_head'))
        assert parameter.requires_grad == (not name.startswith(unused)), name
        # An attention's softmax does not change when all of its logits do, as a bias of the keys makes them.
        if not name.endswith('k_proj.bias'):
            assert has_gradient == (not name.startswith((*frozen, *NOT_USED[kind]))), name
    assert coarse.grad.abs().sum() > 0


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_chosen_candidate_is_trained(kind):
    size, wrapper = (60, 80), make_wrapper(kind, multimask_output=True)
    embedding = wrapper.encode_images([make_image(size)])[0]

    wrapper(embedding, size, make_coarse(1, size), make_texts([2])).square().mean().backward()

    heads = wrapper.model.mask_decoder.output_hypernetworks_mlps
    trained = [any(each.grad is not None and bool(each.grad.any()) for each in head.parameters()) for head in heads]
    assert trained[0] is False
    assert sum(trained) == 1


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_training_and_evaluation_decode_the_same(kind):
    size, wrapper = (60, 80), make_wrapper(kind)
    arguments = (wrapper.encode_images([make_image(size)])[0], size, make_coarse(3, size), make_texts([0, 1, 2]))

    assert torch.equal(wrapper.train()(*arguments), wrapper.eval()(*arguments))


@pytest.mark.parametrize('kind', KINDS)
def test_embeddings_have_the_shapes_that_the_backend_says(kind):
    wrapper = make_wrapper(kind)
    (embedding,) = wrapper.encode_images([make_image((60, 80))])

    assert {name: tuple(part.shape) for name, part in embedding.items()} == wrapper.model.embedding_shapes
    del embedding['image']
    with pytest.raises(
        ValueError, match=r"image_embedding must be \{'image': \(32, ., .\), '.*pass one of what encode"
    ):
        wrapper(embedding, (60, 80), make_coarse(1, (60, 80)), make_texts([1]))


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_embeddings_depend_on_the_frozen_encoder_alone(kind):
    """Or stored ones would be stale after the first step of training."""
    wrapper, images = make_wrapper(kind), [make_image((60, 80))]
    before = wrapper.encode_images(images)[0]
    changed = copy.deepcopy(wrapper)
    for part in (changed.model.prompt_encoder, changed.model.mask_decoder):
        for parameter in part.parameters():
            parameter += 1

    after = changed.encode_images(images)[0]

    assert all(torch.equal(after[name], part) for name, part in before.items())


@pytest.mark.parametrize('kind', KINDS)
def test_prompts_keep_float32_under_autocast(kind):
    size, wrapper = (60, 80), make_wrapper(kind)
    coarse = make_coarse(2, size)
    plain = wrapper._encode_prompts([coarse], [size])

    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = wrapper._encode_prompts([coarse], [size])
        refined = wrapper(wrapper.encode_images([make_image(size)])[0], size, coarse, make_texts([1, 1]))

    assert all(torch.equal(one, other) for one, other in zip(plain, mixed, strict=True))
    assert refined.dtype == torch.float32
