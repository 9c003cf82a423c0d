"""Ray Data in the place of processes: it hands numbers of shards to actors, each with a model; files stay there."""

from collections.abc import Callable
from typing import Any

from flmm.archive.annotator import Annotator, Report
from flmm.archive.folder import ArchiveFolder

COUNTED = ('shards', 'images', 'errors', 'busy', 'waiting', 'writing', 'seconds')
"""Fields of a report that add up over processes."""
Prepare = Callable[[], tuple[Annotator, ArchiveFolder]]
"""Loads the model and opens the output, in the process that calls it; it can be pickled."""


class ShardActor:
    """Grounds the shards whose numbers it is given; an actor of Ray's.

    Args:
        prepare: loads the model, once.
    """

    def __init__(self, prepare: Prepare) -> None:
        self.annotator, self.folder = prepare()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Ground the shards of a batch, ``{'number': [n]}``; return what became of each process's part as one row."""
        report = self.annotator.annotate(self.folder, [int(number) for number in batch['number']])
        return {name: [getattr(report, name)] for name in COUNTED} | {
            'failed': ['\n'.join(f'{name}\t{error}' for name, error in report.failed.items())]
        }


def annotate_by_ray(prepare: Prepare, numbers: list[int], *, actors: int, gpus: float | None) -> Report:
    """Ground shards by an actor pool of Ray Data; which one does which, Ray says.

    Args:
        prepare: loads the model.
        numbers: the shards that are missing.
        actors: how many models there are.
        gpus: how many GPUs each takes; 0 for the CPU; None: one, if Ray's cluster has any.

    Returns:
        What all have done; ``seconds`` are those of all actors together.

    Raises:
        ImportError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"--launcher ray needs Ray ({error}); install it by: pip install 'flmm[ray]'") from error
    total = Report()
    if not numbers:
        return total
    if not ray.is_initialized():
        ray.init()
    if gpus is None:  # the process that asks may stand on a machine without
        gpus = 1 if ray.cluster_resources().get('GPU', 0) else 0
    # A block for each shard: an actor is given whole blocks.
    items = ray.data.from_items([{'number': number} for number in numbers], override_num_blocks=len(numbers))
    found = items.map_batches(
        ShardActor,
        fn_constructor_args=(prepare,),
        batch_size=1,  # what an actor that dies was at, is all that another does again
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_gpus=gpus,
    )
    for row in found.iter_rows():
        for name in COUNTED:
            setattr(total, name, getattr(total, name) + row[name])
        total.failed |= dict(line.split('\t', 1) for line in row['failed'].splitlines())
    return total
