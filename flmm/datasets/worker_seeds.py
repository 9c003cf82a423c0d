"""Random numbers in the workers of a data loader."""

from flmm.registry import FUNCTIONS


@FUNCTIONS.register_module()
def keep_torch_seed(worker_id: int) -> None:
    """Do nothing, as a ``worker_init_fn``: the worker keeps the seed that torch gave it.

    torch draws that seed from the main process's generator whenever workers start, so it differs between epochs and
    comes back when a run is resumed. mmengine's own function gives a worker the same seed at every start.
    """
