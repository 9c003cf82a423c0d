"""What a data loader is given: how items become a batch, and which random numbers its workers draw."""

from flmm.registry import FUNCTIONS
from flmm.structures import GroundingSample


@FUNCTIONS.register_module()
def collate_grounding(items: list[GroundingSample | list[GroundingSample]]) -> dict[str, list[GroundingSample]]:
    """Return ``{'data_samples': samples}``, with the lists that ``RefCOCO2PNG(concat=False)`` makes flattened.

    A batch is a flat list: grids and lengths of samples differ, so nothing is stacked before the model.
    """
    samples = []
    for item in items:
        samples += item if isinstance(item, list) else [item]
    return {'data_samples': samples}


@FUNCTIONS.register_module()
def keep_torch_seed(worker_id: int) -> None:
    """Do nothing, as a ``worker_init_fn``: the worker keeps the seed that torch gave it.

    torch draws that seed from the main process's generator whenever workers start, so it differs between epochs and
    comes back when a run is resumed. mmengine's own function gives a worker the same seed at every start.
    """
