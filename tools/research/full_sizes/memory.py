"""How much memory a process took at most, and how much it should: what docs/performance.md sets side by side."""

import resource
import sys

from flmm.models import FrozenLMM
from flmm.structures import GroundingSample

GB = 1e9


def peak_gb() -> float:
    """The most memory that this process had at a time until now, resident, 1e9 bytes."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB


def estimated_gb(model: FrozenLMM, sample: GroundingSample, *, libraries: float) -> dict[str, float]:
    """Estimate the peak of a training step with one sample, part by part, in 1e9 bytes.

    - weights: as they are stored;
    - training: of each trained number its gradient and AdamW's two averages, float32;
    - activations: of the widest moment of the frozen pass, or of what the trained part keeps for its backward pass,
      whichever is larger. The frozen pass holds for S tokens the residual, query, key and value, and three times the
      width of a feed-forward layer. SAM's encoder does so with 64 x 64 tokens in float32. The trained part keeps for
      each phrase the maps at the mask head's side, as they come and as they are normalized.

    Args:
        model: the model.
        sample: the sample.
        libraries: what the process took before the model was built.
    """
    parameters = list(model.parameters())
    text = model.lmm.config.get_text_config()
    encoder = model.sam.model.image_encoder
    side, width = encoder.img_size // 16, encoder.pos_embed.shape[-1]
    frozen = max(
        2 * len(sample.input_ids) * (4 * text.hidden_size + 3 * text.intermediate_size),
        4 * side**2 * (4 + 2 * 4) * width,
    )
    channels = model.mask_head.encoder[0][0].convs[0].conv.in_channels
    trained = 4 * sample.num_masks * channels * 2 * model.mask_head.upsample_input**2
    parts = {
        'libraries': libraries,
        'weights': sum(each.numel() * each.element_size() for each in parameters) / GB,
        'training': sum(3 * 4 * each.numel() for each in parameters if each.requires_grad) / GB,
        'activations': max(frozen, trained) / GB,
    }
    return parts | {'all': sum(parts.values())}
