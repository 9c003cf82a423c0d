"""A batch is a flat list of samples: their grids and lengths differ, so nothing is stacked before the model."""

from flmm.registry import FUNCTIONS
from flmm.structures import GroundingSample


@FUNCTIONS.register_module()
def collate_grounding(items: list[GroundingSample | list[GroundingSample]]) -> dict[str, list[GroundingSample]]:
    """Return ``{'data_samples': samples}``, with the lists that ``RefCOCO2PNG(concat=False)`` makes flattened."""
    samples = []
    for item in items:
        samples += item if isinstance(item, list) else [item]
    return {'data_samples': samples}
