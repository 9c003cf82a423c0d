"""Which attention heads of the LMM the mask head reads."""

from collections.abc import Sequence
from typing import Any


def choose_heads(
    *,
    num_heads: int,
    attention_layers: Sequence[int],
    layers: Sequence[int] | None = None,
    heads: Sequence[Sequence[int]] | None = None,
) -> dict[int, list[int]]:
    """Return the chosen heads of each layer, both ascending; layers without any are left out.

    Args:
        num_heads: query heads of a layer.
        attention_layers: the layers of the LMM that have attention, ascending, counted from 0.
        layers: all heads of these layers.
        heads: these (layer, head) pairs. Neither: all heads of all layers that have attention.

    Raises:
        ValueError: both are given; none is chosen; one is chosen twice, or is not there.
    """
    if layers is not None and heads is not None:
        raise ValueError('layers and heads are both given; heads are (layer, head) pairs and say it all')
    if heads is None:
        layers = attention_layers if layers is None else layers
        pairs = [(layer, head) for layer in layers for head in range(num_heads)]
    else:
        pairs = [tuple(pair) for pair in heads]
    if not pairs:
        raise ValueError('no head is chosen; leave layers and heads out to take all')
    for pair in pairs:
        if len(pair) != 2 or not (pair[0] in attention_layers and 0 <= pair[1] < num_heads):
            raise ValueError(
                f'head {pair} does not exist; expected (layer, head) with layer one of {list(attention_layers)} and '
                f'head below {num_heads}'
            )
    twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
    if twice:
        raise ValueError(f'heads {twice} are chosen more than once')
    chosen: dict[int, list[int]] = {}
    for layer, head in sorted(pairs):
        chosen.setdefault(layer, []).append(head)
    return chosen


def attention_layers(text_config: Any) -> list[int]:
    """Tell which layers of a language model have attention whose maps can be read.

    Raises:
        ValueError: attention is within sliding windows, or of another kind that the capture does not know.
    """
    types = getattr(text_config, 'layer_types', None) or ['full_attention'] * text_config.num_hidden_layers
    windowed = getattr(text_config, 'sliding_window', None) is not None and 'layer_types' not in text_config.to_dict()
    if windowed or 'sliding_attention' in types:
        raise ValueError(
            'lmm uses sliding-window attention; in its text_config set sliding_window to None (Mistral) or '
            'use_sliding_window to False (Qwen)'
        )
    unknown = sorted(set(types) - {'full_attention', 'linear_attention'})
    if unknown:
        raise ValueError(f'lmm has layers of {unknown}, which cannot be read; give an LMM of full or linear attention')
    return [layer for layer, kind in enumerate(types) if kind == 'full_attention']
