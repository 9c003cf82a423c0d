"""How much memory a process took at most, and how much it should: what docs/performance.md sets side by side."""

import resource
import sys

from flmm.memory import Load, estimated_bytes
from flmm.models import FrozenLMM
from flmm.structures import GroundingSample

GB = 1e9


def peak_gb() -> float:
    """The most memory that this process had at a time until now, resident, 1e9 bytes."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB


def estimated_gb(model: FrozenLMM, sample: GroundingSample, *, libraries: float) -> dict[str, float]:
    """Estimate the peak of a training step with one sample, part by part, in 1e9 bytes.

    Args:
        model: the model.
        sample: the sample.
        libraries: what the process took before the model was built.

    Returns:
        'libraries', the parts of :func:`flmm.memory.estimated_bytes`, and 'all'.
    """
    load = Load(tokens=sample.prompt_length, phrases=sample.num_masks)
    parts = {name: value / GB for name, value in estimated_bytes(model, load).items()}
    parts = {'libraries': libraries, **parts}
    return parts | {'all': sum(parts.values())}
