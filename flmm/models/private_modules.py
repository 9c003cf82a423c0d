"""Other ways through the same weights, without a change of the modules that hold them.

Several threads, and several models, may run one LMM at a time. So nothing of it is swapped, and no hook is hung on it:
a copy of a module object holds the same submodules and parameters, takes no memory, and may be changed.
"""

import copy
from collections.abc import Callable

from torch import Tensor, nn

HOOKS = (
    '_forward_pre_hooks', '_forward_pre_hooks_with_kwargs',
    '_forward_hooks', '_forward_hooks_with_kwargs', '_forward_hooks_always_called',
)  # fmt: skip
"""Where a module of torch keeps the hooks of its forward, and what is known of them."""


def private_module(module: nn.Module) -> nn.Module:
    """Copy a module object: its submodules and parameters are shared, its attributes, submodule names and hooks not.

    The hooks that are on the module now run on the copy, too, until they are removed from the copy.

    Raises:
        ValueError: a forward that belongs to the object itself, such as accelerate hangs on it: a copy would run the
            submodules of the original.
    """
    if 'forward' in vars(module):
        raise ValueError(
            f'the forward of a {type(module).__name__} was replaced, as device_map and torch.compile(module) do; load '
            'the LMM without them and move it to one device'
        )
    made = copy.copy(module)
    for name in ('_modules', *HOOKS):
        setattr(made, name, copy.copy(getattr(module, name)))
    return made


def first_layers(decoder: nn.Module, depth: int, *, seen: Callable[[Tensor], None] | None = None) -> nn.Module:
    """Return a decoder of transformers that runs the first ``depth`` layers only.

    Args:
        decoder: with ``layers`` and ``norm``; it stays as it is.
        depth: how many layers to run.
        seen: is called with each hidden state, [B, S, hidden], as it is computed: ``output_hidden_states``' entries
            1..depth, which are the outputs of the layers, and that of the final norm in place of the last layer's.
    """
    made = private_module(decoder)
    layers = [private_module(layer) for layer in list(decoder.layers)[:depth]]
    made.layers, made.norm = nn.ModuleList(layers), private_module(decoder.norm)
    if seen is not None:
        watched = [*layers[: len(decoder.layers) - 1], made.norm][:depth]
        for module in watched:
            module.register_forward_hook(lambda module, args, output: seen(output))
    return made
