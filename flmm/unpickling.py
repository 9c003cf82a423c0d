"""Why torch.load refused a file, in few words."""

import re


def refusal_reason(error: Exception) -> str:
    """Return what ``torch.load(weights_only=True)`` found, on one line; other errors as they are.

    torch itself writes a page with it, and advises to switch the check off, which would run the code of the file.
    """
    text = str(error)
    if 'weights_only' not in text.lower() and 'Weights only load failed' not in text:
        return text
    asked = re.search(r'GLOBAL (\S+)', text)
    found = re.search(r'WeightsUnpickler error: ([^\n]*)', text)
    if asked:
        return f'it asks for {asked.group(1)}'
    return found.group(1).strip() if found else 'it holds more than tensors and plain values'
