"""How much memory a config takes, counted without weights: what tools/memory.py prints."""

from flmm.memory.estimate import PARTS, Load, estimated_bytes, prefix_bytes
from flmm.memory.weightless import weightless_model

__all__ = ['PARTS', 'Load', 'estimated_bytes', 'prefix_bytes', 'weightless_model']
