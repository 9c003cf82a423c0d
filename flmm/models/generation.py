"""The stock generate of transformers, behind an image that was read before."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flmm.models.prefix_cache import CACHE, cache_of
from flmm.models.private_modules import private_module
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
        input_ids: [S] long, the whole sequence so far; it begins with the prefix, and is longer.
        **settings: what ``generate`` of transformers takes. Without ``do_sample`` and ``num_beams`` the likeliest token
            is taken each time.

    Returns:
        [N] long, the tokens that follow; the last may be one that ends a turn.

    Raises:
        ValueError: a sequence that begins otherwise or has nothing behind the prefix; or settings that say what the
            sequence says, that ask for several answers, for more than tokens, for no token or beam, or for a way to
            draw tokens where none is drawn.
    """
    _check_settings(settings)
    length = len(prefix.input_ids)
    if len(input_ids) <= length or not torch.equal(input_ids[:length], prefix.input_ids):
        raise ValueError(
            f'the sequence of {len(input_ids)} tokens does not go on from the {length} tokens that were read; give all '
            'of them, and at least one of text behind them'
        )
    drawn = {} if settings.get('do_sample') else GREEDY
    own = private_module(lmm)
    own.model = private_module(lmm.model)
    if hasattr(own.model, 'rope_deltas'):  # Qwen: what to add to the place of a later token to get its position
        own.model.rope_deltas = torch.tensor([[prefix.next_position - length]], device=input_ids.device)
    with torch.autocast(device_type=input_ids.device.type, enabled=False):
        made = own.generate(
            input_ids=input_ids[None],
            attention_mask=torch.ones_like(input_ids)[None],
            **{CACHE: cache_of(prefix, lmm.config.get_text_config(), num_rows=settings.get('num_beams', 1))},
            **{'num_beams': 1, **settings, **drawn},
        )
    return made[0, len(input_ids) :]


def _check_settings(settings: dict[str, Any]) -> None:
    for name in ('input_ids', 'inputs_embeds', 'attention_mask', 'position_ids', CACHE):
        if name in settings:
            raise ValueError(f'{name} is what the conversation says; leave it out')
    for name in ('max_new_tokens', 'num_beams'):
        number = settings.get(name, 1)
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f'{name} is {number!r}, expected a whole number from 1 on')
    for name, only in (('num_return_sequences', 1), ('return_dict_in_generate', False)):
        if settings.get(name, only) != only:
            raise ValueError(f'{name} is {settings[name]!r}; one answer is made, and of it the tokens; leave it out')
    idle = [name for name in GREEDY if name != 'do_sample' and settings.get(name) is not None]
    if idle and not settings.get('do_sample'):
        raise ValueError(
            f'{idle[0]} is {settings[idle[0]]!r}, but no token is drawn; set do_sample=True, or leave it out'
        )
