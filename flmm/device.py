"""Names of devices, checked before what is costly."""

import torch


def check_device(name: str, *, setting: str = 'device') -> str:
    """Return the name of a device that torch has here.

    Args:
        name: such as 'cpu' or 'cuda:0'.
        setting: what has the name, for messages.

    Raises:
        ValueError: no name of a device, or a CUDA device that is not here.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{setting} is {name!r}, expected torch's name of one, such as 'cpu' or 'cuda:0'") from error
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'{setting} is {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices')
    return name
