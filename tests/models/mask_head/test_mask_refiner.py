import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything import SamPredictor
from tiny_models import SAM_256

from flmm.geometry import masks_to_boxes
from flmm.models.mask_head.mask_refiner import SAMWrapper
from flmm.models.sam import SamFrame, build_small_sam
from flmm.registry import MODELS

FRAME = SamFrame(side=256)
IMAGE_SIZES = [(120, 160), (161, 119), (300, 200), (256, 256), (50, 333)]


def make_wrapper(**options):
    torch.manual_seed(0)
    return SAMWrapper(sam=build_small_sam(**SAM_256), **options)


def make_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_coarse(num_masks, height, width, seed=0):
    """Smooth blobs: coarse logits are never white noise."""
    noise = 4 * torch.randn(num_masks, 1, 6, 6, generator=torch.Generator().manual_seed(seed)) - 1
    return torch.nn.functional.interpolate(noise, size=(height, width), mode='bilinear', align_corners=False)[:, 0]


def zero_embedding():
    return {'image': torch.zeros(32, 16, 16)}


def make_texts(lengths, dim=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, dim, generator=generator) for length in lengths]


@pytest.mark.parametrize('image_size', IMAGE_SIZES)
@pytest.mark.parametrize(('use_box', 'use_mask'), [(True, True), (True, False), (False, True)])
def test_without_text_it_is_sam_predictor(image_size, use_box, use_mask):
    wrapper = make_wrapper(use_text=False, use_box=use_box, use_mask=use_mask)
    image, coarse = make_image(*image_size), make_coarse(3, *image_size)
    predictor = SamPredictor(wrapper.model)
    predictor.set_image(image)

    refined = wrapper(wrapper.encode_images([image])[0], image_size, coarse)

    prompts = FRAME.logits_from_image(coarse, (64, 64))
    boxes = masks_to_boxes(coarse > 0)
    expected = [
        predictor.predict(
            box=boxes[index].numpy() if use_box else None,
            mask_input=prompts[index, None].numpy() if use_mask else None,
            multimask_output=False,
            return_logits=True,
        )[0][0]
        for index in range(3)
    ]
    assert refined.shape == (3, *image_size)
    assert np.std(expected) > 1e-2
    torch.testing.assert_close(refined, torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-5)


def test_phrases_are_appended_to_the_sparse_prompts():
    wrapper = make_wrapper()
    image_size, texts = (120, 160), make_texts([3, 1])
    coarse = make_coarse(2, *image_size)
    embedding = wrapper.encode_images([make_image(*image_size)])[0]

    refined = wrapper(embedding, image_size, coarse, texts)

    sam = wrapper.model
    for index in range(2):
        sparse, dense = sam.prompt_encoder(
            points=None,
            boxes=FRAME.boxes_from_image(masks_to_boxes(coarse[index, None] > 0), image_size),
            masks=FRAME.logits_from_image(coarse[index, None], (64, 64))[:, None],
        )
        low_res, _ = sam.mask_decoder(
            image_embeddings=embedding['image'][None],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=torch.cat([sparse, texts[index][None]], dim=1),
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        expected = sam.postprocess_masks(low_res, (192, 256), image_size)[0, 0]
        torch.testing.assert_close(refined[index], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('uses', [{}, {'use_box': False}, {'use_mask': False}, {'use_box': False, 'use_mask': False}])
def test_decoding_in_groups_equals_decoding_one_by_one(uses):
    wrapper = make_wrapper(**uses)
    image_size, texts = (90, 140), make_texts([2, 5, 2, 0, 5, 2])
    coarse = make_coarse(6, *image_size)
    embedding = wrapper.encode_images([make_image(*image_size)])[0]

    together = wrapper(embedding, image_size, coarse, texts)

    one_by_one = torch.cat([wrapper(embedding, image_size, coarse[i : i + 1], texts[i : i + 1]) for i in range(6)])
    assert (one_by_one[0] - one_by_one[2]).abs().max() > 1e-3
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    'uses',
    [
        {},
        {'multimask_output': True},
        {'use_box': False},
        {'use_mask': False},
        {'use_text': False},
        {'use_box': False, 'use_mask': False},
    ],
)
def test_images_together_equal_images_one_by_one(uses):
    wrapper = make_wrapper(**uses)
    sizes = [(90, 140), (60, 60), (161, 119), (64, 96)]
    counts = [3, 0, 1, 2]
    coarse = [make_coarse(count, *size, seed=i) for i, (count, size) in enumerate(zip(counts, sizes, strict=True))]
    texts = [make_texts(lengths, seed=i) for i, lengths in enumerate(([2, 5, 2], [], [2], [1, 5]))]
    embeddings = wrapper.encode_images([make_image(*size, seed=i) for i, size in enumerate(sizes)])

    together = wrapper.refine(embeddings, sizes, coarse, texts)

    for arguments, found in zip(zip(embeddings, sizes, coarse, texts, strict=True), together, strict=True):
        (alone,) = wrapper.refine(*([argument] for argument in arguments))
        torch.testing.assert_close(found.logits.in_image(), wrapper(*arguments), rtol=0, atol=1e-5)
        torch.testing.assert_close(found.scores, alone.scores, rtol=0, atol=1e-5)
    assert [len(found.logits) for found in together] == [len(found.scores) for found in together] == counts


def test_equal_token_counts_share_one_decoder_call():
    wrapper = make_wrapper()
    batches = []
    wrapper.model.mask_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: batches.append(tuple(kwargs['sparse_prompt_embeddings'].shape)), with_kwargs=True
    )

    coarse = [make_coarse(4, 64, 64), make_coarse(2, 40, 64)]
    texts = [make_texts([2, 3, 2, 2]), make_texts([2, 4])]
    wrapper.refine([zero_embedding()] * 2, [(64, 64), (40, 64)], coarse, texts)

    assert batches == [(4, 4, 32), (1, 5, 32), (1, 6, 32)]  # two box corners, then the words


def test_images_of_a_batch_equal_sam_predictors_features():
    wrapper = make_wrapper()
    images = [make_image(*size, seed=index) for index, size in enumerate(IMAGE_SIZES)]
    predictor = SamPredictor(wrapper.model)

    embeddings = wrapper.encode_images([Image.fromarray(images[0]), *images[1:]])

    assert [embedding['image'].shape for embedding in embeddings] == [(32, 16, 16)] * 5
    for image, embedding in zip(images, embeddings, strict=True):
        predictor.set_image(image)
        torch.testing.assert_close(embedding['image'], predictor.get_image_embedding()[0], rtol=0, atol=1e-5)


def test_grey_pil_images_are_read_as_rgb():
    wrapper = make_wrapper()
    grey = Image.fromarray(make_image(40, 60)[..., 0])

    embeddings = wrapper.encode_images([grey, np.stack([np.asarray(grey)] * 3, axis=-1)])

    assert torch.equal(*(embedding['image'] for embedding in embeddings))


@pytest.mark.parametrize('detach', [False, True])
def test_image_encoder_is_frozen_and_the_rest_learns(detach):
    wrapper = make_wrapper(detach_mask_prompt=detach).train()
    texts = [text.requires_grad_() for text in make_texts([2, 3])]
    coarse = make_coarse(2, 60, 80).requires_grad_()
    embedding = wrapper.encode_images([make_image(60, 80)])[0]

    wrapper(embedding, (60, 80), coarse, texts).square().mean().backward()

    assert not embedding['image'].requires_grad
    assert not any(parameter.requires_grad for parameter in wrapper.model.image_encoder.parameters())
    assert not any(module.training for module in wrapper.model.image_encoder.modules())
    assert wrapper.model.mask_decoder.training
    for module in (
        wrapper.model.mask_decoder.transformer,
        wrapper.model.mask_decoder.output_upscaling,
        wrapper.model.prompt_encoder.mask_downscaling,
    ):
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters() if parameter.grad is not None)
        assert any(parameter.grad is not None for parameter in module.parameters())
    assert wrapper.model.prompt_encoder.point_embeddings[2].weight.grad.abs().sum() > 0
    assert all(text.grad.abs().sum() > 0 for text in texts)
    assert (coarse.grad is None) == detach  # if detached, the coarse mask answers to its own loss alone


def test_the_refined_loss_reaches_the_mask_head_through_the_mask_prompt_alone():
    """The gradient equals the difference quotient of the loss along it."""
    size, texts = (60, 80), make_texts([2])
    wrapper = make_wrapper()
    embedding = wrapper.encode_images([make_image(*size)])[0]
    coarse = make_coarse(1, *size).requires_grad_()
    box = masks_to_boxes(coarse > 0)

    def loss(logits):
        return wrapper(embedding, size, logits, texts).double().square().mean()

    (gradient,) = torch.autograd.grad(loss(coarse), coarse)
    step = 0.1 * gradient / gradient.norm()
    assert torch.equal(masks_to_boxes(coarse + step > 0), box)
    assert torch.equal(masks_to_boxes(coarse - step > 0), box)
    with torch.no_grad():
        quotient = (loss(coarse + step) - loss(coarse - step)) / 0.2
    torch.testing.assert_close(quotient.float(), gradient.norm(), rtol=0.02, atol=0)

    detached = make_wrapper(detach_mask_prompt=True)
    assert detached(embedding, size, coarse, texts).requires_grad
    (through_box,) = torch.autograd.grad(detached(embedding, size, coarse, texts).sum(), coarse, allow_unused=True)
    assert through_box is None


def test_an_empty_coarse_mask_prompts_with_the_whole_image():
    wrapper = make_wrapper()
    boxes = []
    wrapper.model.prompt_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: boxes.extend(kwargs['boxes'].tolist()), with_kwargs=True
    )

    wrapper(zero_embedding(), (64, 64), torch.stack([torch.full((64, 64), v) for v in (-1.0, 1.0)]), make_texts([1, 1]))

    assert boxes == [[0, 0, 252, 252]] * 2


def test_mask_prompt_is_background_in_the_padding():
    wrapper = make_wrapper()
    prompts = []
    wrapper.model.prompt_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: prompts.append(kwargs['masks']), with_kwargs=True
    )

    coarse = torch.stack([torch.full((64, 128), 5.0), torch.full((64, 128), -6.0)])
    wrapper(zero_embedding(), (64, 128), coarse, make_texts([1, 1]))

    (prompt,) = prompts
    assert prompt.shape == (2, 1, 64, 64)
    assert prompt[0, 0, :32].unique().tolist() == [5.0]
    assert prompt[0, 0, 32:].unique().tolist() == [-1.0]
    assert prompt[1].unique().tolist() == [-6.0]


def test_prompts_keep_float32_under_autocast():
    wrapper = make_wrapper()
    coarse = make_coarse(2, 60, 80)
    plain = wrapper._encode_prompts([coarse], [(60, 80)])

    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = wrapper._encode_prompts([coarse], [(60, 80)])
        refined = wrapper(zero_embedding(), (60, 80), coarse, make_texts([1, 1]))

    assert all(torch.equal(one, other) for one, other in zip(plain, mixed, strict=True))
    assert refined.dtype == torch.float32


def test_no_masks_give_no_masks():
    refined = make_wrapper()(zero_embedding(), (60, 80), torch.zeros(0, 60, 80), [])

    assert refined.shape == (0, 60, 80)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'image_embedding': {'image': torch.zeros(1, 32, 16, 16)}},
            r"must be \{'image': \(32, 16, 16\)\}, got \{'image': \(1, 32, 16, 16\)\}; pass one of what encode_images",
        ),
        ({'image_size': (61, 80)}, r'must be \[M, 61, 80\], got \(2, 60, 80\); bring them to the image frame'),
        ({'text_embeds': make_texts([1])}, 'got 1 text_embeds for 2 masks; pass one per mask'),
        ({'text_embeds': []}, 'got 0 text_embeds for 2 masks'),
        (
            {'text_embeds': make_texts([1, 1], dim=31)},
            r'text_embeds\[0\] must be \[tokens, 32\], got \(1, 31\); project',
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, message):
    arguments = {
        'image_embedding': zero_embedding(),
        'image_size': (60, 80),
        'coarse_logits': torch.zeros(2, 60, 80),
        'text_embeds': make_texts([1, 1]),
    }

    with pytest.raises(ValueError, match=message):
        make_wrapper()(**{**arguments, **changes})


def test_images_that_cannot_be_encoded_are_refused():
    wrapper = make_wrapper()

    with pytest.raises(ValueError, match=r'must be uint8 \[IH, IW, 3\], got float32 of shape \(8, 8, 3\)'):
        wrapper.encode_images([np.zeros((8, 8, 3), np.float32)])
    with pytest.raises(ValueError, match='less than half a pixel thick'):
        wrapper.encode_images([np.zeros((1, 600, 3), np.uint8)])
    with pytest.raises(ValueError, match='at least one image'):
        wrapper.encode_images([])


def test_builds_from_a_config():
    config = {'type': 'SAMWrapper', 'sam': {'type': 'build_small_sam', **SAM_256}, 'multimask_output': True}

    wrapper = MODELS.build(config)

    assert wrapper.text_dim == 32
    assert wrapper.multimask_output
    assert wrapper.model.frame == FRAME
    assert FRAME.content_size((60, 80)) == (192, 256)


def candidates_of(wrapper, values, iou_scores):
    """Let the decoder give candidates that are ``values`` on four quarters of the width: K lists of 4 logits."""
    low_res = torch.tensor(values).repeat_interleave(16, dim=1)[None, :, None].expand(-1, -1, 64, -1)  # [1, K, 64, 64]
    low_res = low_res.clone().requires_grad_()
    wrapper.model.decode = lambda *_, multimask_output: (low_res, torch.tensor([iou_scores]))
    return low_res


@pytest.mark.parametrize(
    ('left', 'iou_scores', 'expected'),
    [
        (32, [0.9, 0.1, 0.1], 1),  # half of the image: exactly the second
        (16, [0.1, 0.1, 0.9], 0),  # a quarter: the first
        (64, [0.1, 0.9, 0.1], 2),  # all of it: three quarters are nearest
        (48, [0.1, 0.9, 0.1], 2),
        (20, [0.1, 0.1, 0.9], 0),  # IoU 16/20 of the first, 20/32 of the second
        (0, [0.1, 0.2, 0.9], 2),  # nothing: what SAM expects most of
        (0, [0.2, 0.9, 0.9], 1),
    ],
)
def test_the_candidate_nearest_the_coarse_mask_is_taken_and_trained(left, iou_scores, expected):
    wrapper = make_wrapper(multimask_output=True)
    values = [[3.0, -3, -3, -3], [3.0, 3, -3, -3], [3.0, 3, 3, -3]]
    low_res = candidates_of(wrapper, values, iou_scores)
    coarse = torch.full((1, 64, 64), -1.0)
    coarse[..., :left] = 1.0

    refined = wrapper(zero_embedding(), (64, 64), coarse, make_texts([1]))
    refined.sum().backward()

    torch.testing.assert_close(refined, FRAME.logits_to_image(low_res.detach()[:, expected], (64, 64)), rtol=0, atol=0)
    assert low_res.grad.abs().amax(dim=(0, 2, 3)).nonzero().flatten().tolist() == [expected]


def test_of_equal_candidates_the_first_is_taken():
    wrapper = make_wrapper(multimask_output=True)
    low_res = candidates_of(wrapper, [[-9.0, -9, -9, -9], [2.0, 2, -2, -2], [1.0, 1, -1, -1]], [0.1, 0.1, 0.9])
    coarse = torch.full((1, 64, 64), -1.0)
    coarse[..., :30] = 1.0

    refined = wrapper(zero_embedding(), (64, 64), coarse, make_texts([1]))

    assert torch.equal(refined, FRAME.logits_to_image(low_res[:, 1], (64, 64)))


def test_candidates_are_sams():
    """Against segment_anything's predictor, which gives all of them."""
    size, wrapper = (120, 160), make_wrapper(multimask_output=True)
    image, coarse = make_image(*size), make_coarse(4, *size)
    predictor = SamPredictor(wrapper.model)
    predictor.set_image(image)

    refined = wrapper(wrapper.encode_images([image])[0], size, coarse, make_texts([0] * 4))

    prompts, boxes = FRAME.logits_from_image(coarse, (64, 64)), masks_to_boxes(coarse > 0)
    for index, wanted in enumerate(coarse.numpy() > 0):
        candidates, _, _ = predictor.predict(
            box=boxes[index].numpy(), mask_input=prompts[index, None].numpy(), multimask_output=True, return_logits=True
        )
        iou = [((mask > 0) & wanted).sum() / ((mask > 0) | wanted).sum() for mask in candidates]
        expected = torch.from_numpy(candidates[int(np.argmax(iou))])
        torch.testing.assert_close(refined[index], expected, rtol=0, atol=1e-5)


def test_names_in_checkpoints_are_segment_anythings():
    """What was trained with an earlier version, or by F-LMM, keeps loading."""
    wrapper = make_wrapper()

    names = wrapper.state_dict().keys()

    parts = {name.rpartition('.')[0] for name in names}
    assert {'.'.join(name.split('.')[:2]) for name in names} == {
        'model.image_encoder',
        'model.prompt_encoder',
        'model.mask_decoder',
    }
    assert {
        'model.prompt_encoder.pe_layer',
        'model.prompt_encoder.point_embeddings.2',
        'model.prompt_encoder.mask_downscaling.0',
        'model.mask_decoder.iou_token',
        'model.mask_decoder.transformer.layers.0.self_attn.q_proj',
        'model.mask_decoder.output_hypernetworks_mlps.0.layers.0',
        'model.image_encoder.blocks.0.attn.qkv',
    } <= parts


def test_options_are_checked():
    with pytest.raises(ValueError, match='SAM needs a prompt'):
        make_wrapper(use_text=False, use_mask=False, use_box=False)
    with pytest.raises(ValueError, match='got 0 text_embeds for 2 masks; pass one per mask, or use_text=False'):
        make_wrapper()(zero_embedding(), (64, 64), make_coarse(2, 64, 64))


def test_the_box_of_the_largest_component_leaves_specks_out():
    size, texts = (60, 80), make_texts([2, 3])
    blob = torch.full((2, *size), -1.0)
    blob[:, 20:40, 30:60] = 1.0
    specks = blob.clone()
    specks[0, 2, 3] = specks[1, 55:58, 70:] = 1.0
    options = {'use_mask': False, 'box_of': 'largest_component'}
    wrapper, plain = make_wrapper(**options), make_wrapper(use_mask=False)
    embedding = wrapper.encode_images([make_image(*size)])[0]
    found = wrapper(embedding, size, specks, texts)
    torch.testing.assert_close(found, plain(embedding, size, blob, texts), rtol=0, atol=1e-5)
    assert (found - plain(embedding, size, specks, texts)).abs().max() > 1e-3


def test_another_box_is_refused():
    with pytest.raises(ValueError, match="box_of is 'hull', expected 'mask' or 'largest_component'"):
        make_wrapper(box_of='hull')
