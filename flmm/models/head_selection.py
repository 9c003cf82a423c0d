"""Which attention heads of the LMM the mask head reads."""

from collections.abc import Sequence


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
