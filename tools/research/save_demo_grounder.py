"""Save a trained demo as the grounder that comes with the package: config.json and model.safetensors of assets/.

    python tools/research/save_demo_grounder.py work_dirs/demo_existence/epoch_10.pth --output assets --threshold 0.5

Weights are rounded to half precision. LMM and SAM are named as the folders beside the two files.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from flmm.atomic_write import write_json

CONFIG = 'configs/shapes/demo_no_target.py'
LMM, SAM = {'folder': 'demo_lmm'}, {'folder': 'demo_sam/model.safetensors'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help=f'the trained part of {CONFIG}')
    parser.add_argument('--output', type=Path, required=True, help='a folder that has demo_lmm and demo_sam')
    parser.add_argument('--threshold', type=float, help='existence from which on a phrase is there, if another')
    return parser.parse_args()


def save_demo_grounder(checkpoint: str, output: Path, *, threshold: float | None) -> None:
    """Write ``config.json`` and ``model.safetensors``."""
    # Not above: --help answers at once.
    import torch

    from flmm import Grounder

    grounder = Grounder.from_config(CONFIG, checkpoint=checkpoint)
    model = grounder.model
    if threshold is not None:
        model.existence_head.threshold.fill_(threshold)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half())
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, 'demo')
        grounder.save_pretrained(saved)
        config = json.loads((saved / 'config.json').read_text(encoding='utf-8'))
        config['model']['lmm']['name_or_path'] = LMM
        config['to_sample']['image_processor']['pretrained_model_name_or_path'] = LMM
        config['model']['sam']['sam']['checkpoint'] = SAM
        write_json(output / 'config.json', config, indent=2)
        shutil.copyfile(saved / 'model.safetensors', output / 'model.safetensors')


def main() -> None:
    args = parse_args()
    save_demo_grounder(args.checkpoint, args.output, threshold=args.threshold)


if __name__ == '__main__':
    main()
