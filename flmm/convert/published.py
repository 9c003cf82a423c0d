"""Published files, read as plain data: a state dict, bare or in what mmengine or DeepSpeed wraps around it."""

from pathlib import Path

from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from flmm.models.checkpoints import UNREADABLE, check_weights, read_plain_data

WRAPPERS = ('state_dict', 'module')
"""Where the weights lie in a file that holds more: of mmengine, of DeepSpeed (``mp_rank_00_model_states.pt``)."""


def read_published(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a file without running anything that it holds.

    Returns:
        Its tensors by the names that they have in the file, on the CPU.

    Raises:
        ValueError: no such file, a damaged one, or one without weights; or it holds objects, which are named, and would
            have to be run to be read.

    >>> weights = read_published('frozen_deepseek_vl_1_3b_chat_unet_sam_l_refcoco_png.pth')
    >>> weights['text_proj.weight'].shape
    torch.Size([256, 2048])
    """
    if Path(path).is_dir():
        raise ValueError(
            f'{str(path)!r} is a folder; of a DeepSpeed checkpoint (ZeRO 1 or 2) give the file '
            'mp_rank_00_model_states.pt in it'
        )
    try:
        content = read_plain_data(path)
    except ValueError as error:
        objects = _objects_in(path)
        if not objects:
            raise
        raise ValueError(
            f'{str(path)!r} holds more than tensors and plain values: {", ".join(objects)}. Nothing of it was run. '
            'To take the weights out, open it where it can do no harm, such as a container without network and '
            f'credentials: content = torch.load({Path(path).name!r}, map_location="cpu", weights_only=False); '
            'torch.save(content["state_dict"], "weights.pth"), or ["module"] where DeepSpeed wrote it'
        ) from error
    wrapper = next((name for name in WRAPPERS if isinstance(content, dict) and isinstance(content.get(name), dict)), '')
    weights = content[wrapper] if wrapper else content
    check_weights(weights, path)
    return weights


def _objects_in(path: str | Path) -> list[str]:
    """Name the classes and functions that unpickling would call, which a reader of opcodes finds; [] if it cannot."""
    path = Path(path).expanduser()
    if not path.is_file():  # a FIFO would be waited for
        return []
    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except UNREADABLE:
        return []  # no file of torch.save's: the first error says what is wrong
