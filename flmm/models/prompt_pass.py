"""The first pass through the LMM: images and prompts, whose keys and values are kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from flmm.alike import distinct, show_the_same
from flmm.models.prefix_cache import CACHE, cache_of, prefix_from_cache
from flmm.models.private_modules import first_layers, private_module
from flmm.reading import Prefix
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.models.frozen_lmm import FrozenLMM


def read_prompts(model: 'FrozenLMM', samples: Sequence[GroundingSample], *, depth: int) -> list[Prefix]:
    """Run a frozen LMM over image and prompt of each sample, and keep what later tokens see of them.

    Args:
        model: the LMM, and how its family reads images.
        samples: the batch, all of images or all of videos. Where the LMM has layers without attention, one sample: they
            would carry padding on.
        depth: how many layers to run.
    """
    text = _padded_prompts(samples, placeholder_id=model.placeholder_id(samples[0]))
    inputs = model.text_inputs(samples, text)
    lengths = [sample.prompt_length for sample in samples]
    following = lengths
    if 'position_ids' in inputs:  # [..., B, S]
        following = [int(inputs['position_ids'][..., i, length].flatten()[0]) for i, length in enumerate(lengths)]
    images, index = distinct(samples, same=show_the_same)
    features = model.image_features(images)
    # The inner model: logits over the vocabulary are not needed, so lm_head does not run.
    # Nor is a mask of the padding: it is behind everything that is read. Without one SDPA takes its causal
    # kernel, which needs no S x S mask in memory.
    inner = private_module(model.lmm.model)
    inner.language_model = first_layers(model.lmm.model.language_model, depth)
    cache = inner(
        input_ids=text['input_ids'][:, :-1],
        mm_encoder_outputs={
            'video' if samples[0].is_video else 'image': model.image_outputs([features[i] for i in index])
        },
        use_cache=True,
        # Without the token that follows.
        **{name: value[..., :-1] for name, value in inputs.items()},
    )[CACHE]
    return [
        prefix_from_cache(
            cache,
            row=i,
            input_ids=sample.input_ids[: sample.prompt_length],
            next_position=following[i],
            num_layers=depth,
        )
        for i, sample in enumerate(samples)
    ]


def read_further_image(
    model: 'FrozenLMM', prefix: Prefix, images: Sequence[GroundingSample], input_ids: Tensor
) -> Prefix:
    """Go on behind images that were read before with one more of the same turn; those before it are not read again.

    Args:
        model: the LMM, and how its family reads images.
        prefix: the beginning up to the end of the last image but one, as all layers see it.
        images: a sample of each image by itself, in order.
        input_ids: [S] long, the sequence with the placeholders of all images, which begins as ``prefix``.

    Returns:
        The beginning up to the end of the last image.

    Raises:
        ValueError: a sequence that begins otherwise than ``prefix``.
    """
    length = int((input_ids == model.lmm.config.image_token_id).nonzero().max()) + 1
    start = len(prefix.input_ids)
    if not torch.equal(input_ids[:start], prefix.input_ids):
        raise ValueError(
            f'the chat of {len(images)} images begins otherwise than the {start} tokens that were read; show '
            f'{images[-1].image_path!r} by itself'
        )
    ids = input_ids[None, : length + 1]  # with the token behind the image, for its position
    inputs = model.text_inputs(list(images), {'input_ids': ids, 'attention_mask': torch.ones_like(ids)})
    features = model.image_features([images[-1]])
    cache = private_module(model.lmm.model)(
        input_ids=ids[:, start:length],
        mm_encoder_outputs={'image': model.image_outputs(list(features))},
        use_cache=True,
        **{CACHE: cache_of(prefix, model.lmm.config.get_text_config())},
        **{name: value[..., start:length] for name, value in inputs.items()},
    )[CACHE]
    following = int(inputs['position_ids'][..., 0, length].flatten()[0]) if 'position_ids' in inputs else length
    return prefix_from_cache(
        cache, row=0, input_ids=input_ids[:length], next_position=following, num_layers=len(prefix.keys)
    )


def _padded_prompts(samples: Sequence[GroundingSample], *, placeholder_id: int) -> dict[str, Tensor]:
    """Pad the prompts on the right, each with one more token: that of a text behind it, for its position."""
    token = int(placeholder_id == 0)  # any but that of images
    prompts = [sample.input_ids[: sample.prompt_length] for sample in samples]
    lengths = torch.tensor([len(prompt) + 1 for prompt in prompts], device=prompts[0].device)
    input_ids = F.pad(pad_sequence(prompts, batch_first=True, padding_value=token), (0, 1), value=token)
    return {
        'input_ids': input_ids,
        'attention_mask': (torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]).long(),
    }
