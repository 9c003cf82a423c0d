"""Write golden_demo.safetensors and golden_demo.json: outputs and trained part of the demo's model (golden_demo.py).

    PYTHONPATH=. python tests/artifacts/make_golden_demo.py

They were made on 2026-11-26 (torch 2.15, transformers 5.23) with the code of commit 14de73b, before families of LMMs
had a contract. golden_checkpoint.safetensors holds what the grounder of assets/ gave on the day that it was trained
(assets/README.md). To make them again is to say that numbers were meant to change.
"""

import json
import sys
from pathlib import Path

import flmm  # noqa: F401 (stands in for mmcv's compiled ops)

sys.path.insert(0, str(Path(__file__).parents[1] / 'helpers'))

from golden_demo import checkpoint_outputs, golden_outputs
from safetensors.torch import save_file

if __name__ == '__main__':
    outputs, shapes = golden_outputs()
    save_file(outputs, Path(__file__).with_name('golden_demo.safetensors'))
    Path(__file__).with_name('golden_demo.json').write_text(json.dumps(shapes, indent=0) + '\n', encoding='utf-8')
    save_file(checkpoint_outputs(), Path(__file__).with_name('golden_checkpoint.safetensors'))
