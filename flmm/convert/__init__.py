"""Files that F-LMM's authors published, turned into checkpoints of this package."""

from flmm.convert.keys import KeyRow, converted_weights, match_keys
from flmm.convert.published import read_published
from flmm.convert.trained_part import TrainedPart, build_without_weights

__all__ = [
    'KeyRow',
    'TrainedPart',
    'build_without_weights',
    'converted_weights',
    'match_keys',
    'read_published',
]
