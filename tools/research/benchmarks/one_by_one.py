"""Phrases of one image, each behind an image and a prompt of its own, as all were read before prefixes were kept.

The vision tower runs once. Then each phrase is a sequence of its own, image and prompt included, and the sequences go
through the LMM as batches, padded on the right. It gives what flmm gives of a sample with independent phrases.

Letters: B sequences, S tokens (padded), R tokens of a phrase, A query heads, K key heads, D head dim, L layers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from benchmarks.reference import attention, on_last_grid
from flmm.models import FrozenLMM
from flmm.models.two_passes import MAX_FORWARD_TOKENS
from flmm.structures import GroundingSample

KEEPING_SDPA = 'benchmark_keeping_sdpa'


@dataclass(kw_only=True)
class KeptAttention:
    """The attention of phrases, layer by layer.

    Args:
        phrases: for each sequence [R] long, where its phrase is.
        layers: of each layer, for each sequence [A, S].
    """

    phrases: list[Tensor]
    layers: list[list[Tensor]] = field(default_factory=list)

    def keep(self, query: Tensor, key: Tensor, scaling: float) -> None:
        """Take the attention of a layer, from [B, A, S, D] queries and [B, K, S, D] keys."""
        self.layers.append([self._mean(*parts, scaling) for parts in zip(query, key, self.phrases, strict=True)])

    @staticmethod
    def _mean(query: Tensor, key: Tensor, rows: Tensor, scaling: float) -> Tensor:
        grouped = query[:, rows].reshape(len(key), -1, query.shape[-1])  # [K, A / K * R, D]
        logits = (grouped @ key.transpose(1, 2)).float().reshape(len(query), len(rows), -1) * scaling  # [A, R, S]
        behind = torch.arange(key.shape[1], device=key.device) > rows[:, None]
        return logits.masked_fill(behind, -torch.inf).softmax(dim=-1).mean(dim=1)


def keeping_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    kept: KeptAttention | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """transformers' SDPA attention, of which ``kept`` takes its part."""
    if kept is not None:
        kept.keep(query, key, kwargs['scaling'])
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(KEEPING_SDPA, keeping_sdpa)
AttentionMaskInterface.register(KEEPING_SDPA, sdpa_mask)


@torch.no_grad()
def read_one_by_one(model: FrozenLMM, sample: GroundingSample) -> tuple[list[Tensor], Tensor]:
    """Attention maps of each phrase, M of [C, h, w], and hidden states of phrase tokens, [L, R of all, hidden]."""
    prompt = sample.input_ids[: sample.prompt_length]
    sequences = [torch.cat([prompt, sample.input_ids[places]]) for places in sample.texts]
    (features,) = model.image_features([sample])
    at_once = max(MAX_FORWARD_TOKENS // max(map(len, sequences)), 1)
    maps, states = [], []
    with attention(model, KEEPING_SDPA):
        for start in range(0, len(sequences), at_once):
            found = _read(model, sample, sequences[start : start + at_once], features)
            maps += found[0]
            states += found[1]
    return maps, torch.cat(states, dim=1)


def _read(
    model: FrozenLMM, sample: GroundingSample, sequences: list[Tensor], features: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=sequences[0].device)
    padding = int(model.lmm.config.image_token_id == 0)
    input_ids = pad_sequence(sequences, batch_first=True, padding_value=padding)  # [B, S]
    is_token = (torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]).long()
    phrases = [torch.arange(sample.prompt_length, length, device=lengths.device) for length in lengths.tolist()]
    kept = KeptAttention(phrases=phrases)
    output = model.lmm.model(
        input_ids=input_ids,
        mm_encoder_outputs={'image': model.image_outputs([features] * len(sequences))},
        use_cache=False,
        output_hidden_states=True,
        kept=kept,
        # Nothing reads the padding, which is behind all; so there is no mask of it, and SDPA takes its causal kernel.
        **model.text_inputs([sample] * len(sequences), {'input_ids': input_ids, 'attention_mask': is_token}),
    )
    maps = [on_last_grid(model, sample, torch.cat(layers)) for layers in zip(*kept.layers, strict=True)]
    states = [torch.stack([layer[i, rows] for layer in output.hidden_states[1:]]) for i, rows in enumerate(phrases)]
    return maps, states
