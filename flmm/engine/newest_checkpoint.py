"""Which checkpoint of a work dir a run goes on from, whatever state the folder was left in."""

from pathlib import Path
from typing import Any

from flmm.atomic_write import write_text
from flmm.models.checkpoints import read_checkpoint

POINTER = 'last_checkpoint'
"""The file that holds the name of the newest checkpoint. It has no folder: a moved or copied work dir is complete."""
NO_CHECKPOINT = 'none yet'
"""What it holds where a new run has begun beside the checkpoints of an earlier one."""
RESUMED_PARTS = ('meta', 'message_hub', 'optimizer', 'param_schedulers')
"""What a checkpoint must hold, beside the weights, for a run to go on from it."""


def write_pointer(work_dir: str | Path, name: str) -> None:
    """Note that the checkpoint called ``name`` is the newest."""
    write_text(Path(work_dir, POINTER), name)


def newest_checkpoint(work_dir: str | Path, folder: str | Path) -> tuple[str | None, list[str]]:
    """Find the checkpoint to go on from: the one that was noted as the newest, or else the latest that is whole.

    Args:
        work_dir: where ``last_checkpoint`` lies.
        folder: where the checkpoints lie; remote, such as 's3://bucket/run', only the noted one is looked for.

    Returns:
        Its path, or None where there is none, and a line for each newer one that was passed over, with the reason.

    Raises:
        ValueError: there are checkpoints, and none of them can be read.
    """
    pointer = Path(work_dir, POINTER)
    noted = Path(pointer.read_text(encoding='utf-8', errors='replace').strip()).name if pointer.is_file() else ''
    if noted == NO_CHECKPOINT:
        return None, [f'checkpoints in {str(folder)!r} are those of an earlier run; name one to go on from it']
    if '://' in str(folder):
        return (f'{str(folder).rstrip("/")}/{noted}' if noted else None), []
    found = [path for path in Path(folder).glob('*.pth') if not path.name.startswith('best_')]  # without an optimizer
    found.sort(key=lambda path: (path.name == noted, path.stat().st_mtime_ns), reverse=True)
    passed_over = []
    if noted and noted not in {path.name for path in found}:
        passed_over.append(f'{str(pointer)!r} names {noted!r}, which is not in {str(folder)!r}')
    for path in found:
        problem = _problem(path)
        if problem is None:
            return str(path), passed_over
        passed_over.append(problem)
    if found:
        raise ValueError(
            f'no run can go on from any of the {len(found)} checkpoints in {str(folder)!r} ({"; ".join(passed_over)}); '
            'remove them to start anew'
        )
    return None, passed_over


def _problem(path: Path) -> str | None:
    try:
        check_resumable(read_checkpoint(path), path)
    except ValueError as error:
        return str(error)
    return None


def check_resumable(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint of weights alone.

    Raises:
        ValueError: naming what it lacks.
    """
    missing = [part for part in RESUMED_PARTS if part not in checkpoint]
    if missing:
        raise ValueError(f'{path} lacks {missing}: no run can go on from it; take its weights alone (load_from)')
