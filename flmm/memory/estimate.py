"""How much memory a step takes on a device, part by part, by arithmetic.

Letters: B images, M phrases of an image, T tokens of an image with its prompt, C attention maps of a phrase, e the side
of SAM's image embedding. What is measured beside it: docs/gpus.md and docs/performance.md.
"""

import math
from dataclasses import dataclass

from torch import nn

from flmm.models import FrozenLMM
from flmm.models.head_selection import attention_layers
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.models.two_passes import MAX_FORWARD_TOKENS

# Counted with torch's profiler and saved_tensors_hooks on F-LMM's model, 64 x 64 cells and 640 x 480 px.
ENCODER_WIDTHS = 22
"""So many numbers, in widths, SAM's encoder holds of a token; query and key carry relative positions."""
SAVED_EMBEDDINGS = 36
"""So many times the size of SAM's image embedding U-Net and SAM's decoder keep for the backward pass of a phrase."""
PHRASE_TOKENS = 4
"""A phrase of RefCOCO has so many tokens, its '.' included."""
PARTS = {
    'lmm': 'the weights of the LMM',
    'sam': "the weights of SAM's image encoder",
    'trained': 'weights, gradients and moments of the trained part',
    'kept': 'keys and values of images and prompts',
    'maps': 'attention maps and hidden states of phrases',
    'working': "what is largest of the working memory of LMM, SAM's encoder and the trained part",
}
"""The parts of an estimate."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a device has to do.

    Args:
        tokens: T.
        phrases: M.
        batch_size: B, each image with T tokens and M phrases.
        training: whether there is a backward pass, and AdamW's two moments of each trained number.
        num_gpus: processes, each with a model of its own; of several, each keeps a second copy of its gradients, in
            the buckets that are averaged.
        lmm_gpus: GPUs of a process that its LMM lies on in equal parts (``device_map``); the first also has all else.
    """

    tokens: int
    phrases: int
    batch_size: int = 1
    training: bool = True
    num_gpus: int = 1
    lmm_gpus: int = 1

    def __post_init__(self) -> None:
        for name in ('tokens', 'phrases', 'batch_size', 'num_gpus', 'lmm_gpus'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} is {getattr(self, name)}, expected 1 or more')
        if self.num_gpus > 1 and self.lmm_gpus > 1:
            raise ValueError(
                f'lmm_gpus is {self.lmm_gpus} beside {self.num_gpus} processes; an LMM on several GPUs is for one '
                'process (docs/gpus.md)'
            )


def prefix_bytes(model: FrozenLMM, num_tokens: int) -> int:
    """Compute how much memory is kept of an image and its prompt: a key and a value of each token, layer and key head.

    Args:
        model: the model; of its LMM the layers that are run count, and of these those that have attention.
        num_tokens: of image and prompt.
    """
    text = model.lmm.config.get_text_config()
    layers = sum(layer < model.depth for layer in attention_layers(text))
    head_dim = getattr(text, 'head_dim', None) or text.hidden_size // text.num_attention_heads
    return 2 * layers * text.num_key_value_heads * head_dim * num_tokens * model.lmm.dtype.itemsize


def estimated_bytes(model: FrozenLMM, load: Load) -> dict[str, float]:
    """Estimate the peak of a step, part by part, on the device that has most to hold.

    Not counted are the libraries, the context of a GPU, and what an allocator keeps in reserve.

    Args:
        model: of any weights, also none (:func:`flmm.memory.weightless_model`). A model over stored features runs
            neither its LMM nor SAM's encoder.
        load: what it has to do.

    Returns:
        Bytes by the names of :data:`PARTS`.
    """
    runs = not isinstance(model.lmm, LMMWithoutWeights)
    trained = [each for each in model.parameters() if each.requires_grad]
    encoder = model.sam.model.image_encoder
    frozen = {id(each) for module in (model.lmm, encoder) for each in module.parameters()}
    own = _weights(each for each in model.parameters() if id(each) not in frozen)
    copies = (3 + (load.num_gpus > 1)) if load.training else 0  # the gradient, AdamW's two averages, the buckets
    num_phrases = load.batch_size * load.phrases
    at_once = max(1, min(load.batch_size, MAX_FORWARD_TOKENS // load.tokens))
    embeddings = 4 * load.batch_size * sum(map(math.prod, model.sam.model.embedding_shapes.values()))
    return {
        'lmm': _weights(model.lmm.parameters()) / load.lmm_gpus,
        'sam': _weights(encoder.parameters()),
        'trained': own + copies * _weights(trained),
        'kept': at_once * prefix_bytes(model, load.tokens) / load.lmm_gpus if runs else 0,
        'maps': embeddings + num_phrases * _phrase_bytes(model, load.tokens),
        'working': max(
            at_once * _lmm_working(model, load) if runs else 0,
            4 * load.batch_size * _encoder_numbers(encoder) if runs else 0,
            4 * (num_phrases if load.training else 1) * _trained_numbers(model),
        ),
    }


def _weights(parameters: object) -> int:
    return sum(each.numel() * each.element_size() for each in parameters)


def _phrase_bytes(model: FrozenLMM, tokens: int) -> int:
    text = model.lmm.config.get_text_config()
    channels = sum(map(len, model.heads.values()))
    return 4 * channels * tokens + 2 * PHRASE_TOKENS * model.depth * text.hidden_size


def _lmm_working(model: FrozenLMM, load: Load) -> int:
    """Residual, query, key, value and three times the width of a feed-forward layer, for each token; or logits."""
    text = model.lmm.config.get_text_config()
    size = model.lmm.dtype.itemsize
    read = size * load.tokens * (4 * text.hidden_size + 3 * text.intermediate_size)
    # Logits of a layer and their softmax, float32.
    logits = 2 * 4 * text.num_attention_heads * PHRASE_TOKENS * load.phrases * load.tokens
    vision = model.lmm.config.vision_config
    merged = getattr(vision, 'spatial_merge_size', 1) ** 2  # patches of a token
    width = getattr(vision, 'embed_dim', None) or vision.hidden_size
    inner = getattr(vision, 'intermediate_size', None) or width * vision.mlp_ratio
    return max(read, logits, int(size * load.tokens * merged * (4 * width + 3 * inner)))


def _encoder_numbers(encoder: nn.Module) -> int:
    return encoder.pos_embed[0, ..., 0].numel() * ENCODER_WIDTHS * encoder.pos_embed.shape[-1]


def _trained_numbers(model: FrozenLMM) -> int:
    """Count for a phrase its maps at the mask head's side, as they come and enlarged, and SAVED_EMBEDDINGS."""
    channels = model.num_views * sum(map(len, model.heads.values()))
    side = getattr(model.mask_head, 'upsample_input', None) or 0
    return 2 * channels * side**2 + SAVED_EMBEDDINGS * math.prod(model.sam.model.embedding_shapes['image'])
