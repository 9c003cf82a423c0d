"""The stock generate of transformers, behind an image that was read before."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flmm.models.private_modules import private_module
from flmm.models.prompt_pass import cache_of
from flmm.reading import Prefix

GREEDY = {'do_sample': False, 'temperature': None, 'top_p': None, 'top_k': None}
"""An answer that is the same every time, whatever the checkpoint's generation_config says."""


@torch.no_grad()
def generate(lmm: PreTrainedModel, prefix: Prefix, input_ids: Tensor, **settings: Any) -> Tensor:
    """Let an LMM go on.

    Nothing of the LMM changes, so several threads may do this.

    Args:
        lmm: the LMM.
        prefix: the beginning of the sequence, the image included, as all layers see it.
        input_ids: [S] long, the whole sequence so far; it is longer than the prefix.
        **settings: what ``generate`` of transformers takes. Without ``do_sample`` the likeliest token is taken.

    Returns:
        [N] long, the tokens that follow; the last may be one that ends a turn.
    """
    if not settings.get('do_sample'):
        settings = {**settings, **GREEDY}
    own = private_module(lmm)
    own.model = private_module(lmm.model)
    if hasattr(own.model, 'rope_deltas'):  # Qwen: what to add to the place of a later token to get its position
        length = len(prefix.input_ids)
        own.model.rope_deltas = torch.tensor([[prefix.next_position - length]], device=input_ids.device)
    with torch.autocast(device_type=input_ids.device.type, enabled=False):
        made = own.generate(
            input_ids=input_ids[None],
            attention_mask=torch.ones_like(input_ids)[None],
            past_key_values=cache_of(prefix, lmm.config.get_text_config()),
            **settings,
        )
    return made[0, len(input_ids) :]
