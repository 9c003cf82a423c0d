"""LMMs of published size with random weights: built fast, in no more memory than the weights take."""

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from flmm.pretrained import lmm_from_config

STD = 0.02


@torch.no_grad()
def random_lmm(config: PreTrainedConfig, *, seed: int = 0) -> PreTrainedModel:
    """Build the LMM of a config in bfloat16 on the CPU.

    Matrices are normal with a deviation of 0.02, biases 0, and what else has one dimension, such as norms, 1.
    """
    with no_init_weights():  # transformers would fill every weight twice, torch's way and its own
        lmm = lmm_from_config(config, dtype=torch.bfloat16)
    lmm.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in lmm.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=STD, generator=generator)
        else:
            parameter.fill_(0 if name.endswith('bias') else 1)
    return lmm.eval()
