"""How much memory a process took at most, and how much it should: what docs/performance.md sets side by side."""

import math
import resource
import sys

from flmm.models import FrozenLMM
from flmm.models.head_selection import attention_layers
from flmm.structures import GroundingSample

GB = 1e9
# Counted with torch's profiler and saved_tensors_hooks on F-LMM's model, 64 x 64 cells and 640 x 480 px.
ENCODER_WIDTHS = 22
"""So many numbers, in widths, SAM's encoder holds of a token; query and key carry relative positions."""
SAVED_EMBEDDINGS = 36
"""So many times the size of SAM's image embedding U-Net and SAM's decoder keep for the backward pass of a phrase."""


def peak_gb() -> float:
    """The most memory that this process had at a time until now, resident, 1e9 bytes."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB


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


def estimated_gb(model: FrozenLMM, sample: GroundingSample, *, libraries: float) -> dict[str, float]:
    """Estimate the peak of a training step with one sample, part by part, in 1e9 bytes.

    - weights: as they are stored;
    - training: of each trained number its gradient and AdamW's two averages, float32;
    - activations: what is largest of the LMM's (what is kept of image and prompt, and for each token residual, query,
      key, value and three times the width of a feed-forward layer, bfloat16), SAM's encoder's (ENCODER_WIDTHS of each
      of its tokens, float32), and what the trained part keeps for its backward pass: of each phrase its maps at the
      mask head's side, as they come and enlarged, and SAVED_EMBEDDINGS, float32.

    Args:
        model: the model.
        sample: the sample.
        libraries: what the process took before the model was built.
    """
    parameters = list(model.parameters())
    text = model.lmm.config.get_text_config()
    encoder = model.sam.model.image_encoder
    tokens, width = encoder.pos_embed[0, ..., 0].numel(), encoder.pos_embed.shape[-1]
    channels = model.mask_head.encoder[0][0].convs[0].conv.in_channels
    embedding = math.prod(model.sam.model.embedding_shapes['image'])
    activations = max(
        prefix_bytes(model, sample.prompt_length)
        + 2 * len(sample.input_ids) * (4 * text.hidden_size + 3 * text.intermediate_size),
        4 * tokens * ENCODER_WIDTHS * width,
        4 * sample.num_masks * (2 * channels * model.mask_head.upsample_input**2 + SAVED_EMBEDDINGS * embedding),
    )
    parts = {
        'libraries': libraries,
        'weights': sum(each.numel() * each.element_size() for each in parameters) / GB,
        'training': sum(3 * 4 * each.numel() for each in parameters if each.requires_grad) / GB,
        'activations': activations / GB,
    }
    return parts | {'all': sum(parts.values())}
