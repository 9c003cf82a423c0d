"""Store the losses of the demo's first 100 iterations: ``python tests/artifacts/make_golden_losses.py``.

Run it only where training is meant to change, and say so in CHANGELOG.md.
"""

import json
import sys
import tempfile
from pathlib import Path

import flmm  # noqa: F401 (stands in for mmcv's compiled ops before a helper imports mmdet)

ARTIFACTS = Path(__file__).parent
sys.path.insert(0, str(ARTIFACTS.parent / 'helpers'))

from golden_losses import golden_losses  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    losses = golden_losses(Path(folder))
rounded = {name: [round(value, 7) for value in values] for name, values in losses.items()}
(ARTIFACTS / 'golden_losses.json').write_text(json.dumps(rounded) + '\n', encoding='utf-8')
