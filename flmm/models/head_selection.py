"""Which attention heads of the LMM the mask head reads."""

from collections.abc import Sequence


def choose_heads(
    *,
    num_layers: int,
    num_heads: int,
    layers: Sequence[int] | None = None,
    heads: Sequence[Sequence[int]] | None = None,
) -> dict[int, list[int]]:
    """Return the chosen heads of each layer, both ascending; layers without any are left out.

    Args:
        num_layers: of the LMM.
        num_heads: query heads of a layer.
        layers: all heads of these layers.
        heads: these (layer, head) pairs. Neither: all heads of all layers.

    Raises:
        ValueError: both are given; none is chosen; one is chosen twice, or is not there.
    """
    if layers is not None and heads is not None:
        raise ValueError('layers and heads are both given; heads are (layer, head) pairs and say it all')
    if heads is None:
        layers = range(num_layers) if layers is None else layers
        pairs = [(layer, head) for layer in layers for head in range(num_heads)]
    else:
        pairs = [tuple(pair) for pair in heads]
    if not pairs:
        raise ValueError('no head is chosen; leave layers and heads out to take all')
    for pair in pairs:
        if len(pair) != 2 or not (0 <= pair[0] < num_layers and 0 <= pair[1] < num_heads):
            raise ValueError(
                f'head {pair} does not exist; expected (layer, head) with layer below {num_layers} and head below '
                f'{num_heads}'
            )
    twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
    if twice:
        raise ValueError(f'heads {twice} are chosen more than once')
    chosen: dict[int, list[int]] = {}
    for layer, head in sorted(pairs):
        chosen.setdefault(layer, []).append(head)
    return chosen
