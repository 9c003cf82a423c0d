"""Why torch.load refused a file, in few words."""

import re


def refusal_reason(error: Exception) -> str:
    """Return what ``torch.load(weights_only=True)`` found, on one line; other errors as they are.

    torch itself writes a page with it, and advises to switch the check off, which would run the code of the file.
    """
    text = str(error)
    asked = re.search(r'GLOBAL (\S+)', text)
    if asked:
        return f'it asks for {asked.group(1)}'
    found = re.search(r'WeightsUnpickler error: ([^\n]*)', text)
    return found.group(1) if found else text.split('. In PyTorch')[0]
