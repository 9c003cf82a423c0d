"""The state of the random generators that training draws from."""

import random

import numpy as np
import torch


def random_state() -> dict:
    """Return the state of Python's, numpy's and torch's global generators (CPU and every GPU), as plain data."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (mmengine seeds this one)
    return {
        'python': (version, list(internal), gauss),
        'numpy': (name, keys.tolist(), position, has_gauss, cached),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all(),
    }


def set_random_state(state: dict) -> None:
    """Set the generators to a state that :func:`random_state` returned."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state['torch'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device_state.cpu() for device_state in state['cuda']])
