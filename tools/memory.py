"""Estimate the memory of a config: ``python tools/memory.py configs/qwen/qwen2_5_vl_7b_sam_l_refcoco.py``.

Prints a row for each number of tokens, with what each part takes on the device that holds most, in GB (1e9 bytes). No
weight is loaded. Libraries, the context of a GPU and what its allocator keeps in reserve come on top: leave 10 % free.
"""

import argparse

from mmengine.config import DictAction
from mmengine.registry import init_default_scope

from flmm.config import read_config
from flmm.memory import PARTS, Load, estimated_bytes, weightless_model

GB = 1e9


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--tokens', type=int, nargs='+', default=[400, 1000, 2000, 4000], help='of image and prompt')
    parser.add_argument('--phrases', type=int, default=8, help='of an image')
    parser.add_argument('--batch-size', type=int, help="images of a step on a device; the config's by default")
    parser.add_argument('--num-gpus', type=int, default=1, help='processes, each with a GPU and a whole model (DDP)')
    parser.add_argument('--lmm-gpus', type=int, default=1, help='GPUs that the LMM of one process lies on (device_map)')
    parser.add_argument('--predict', action='store_true', help='no training')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='override config values')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = read_config(args.config, args.cfg_options)
    init_default_scope('flmm')
    model = weightless_model(config.model)
    loader = config.test_dataloader if args.predict else config.train_dataloader
    shared = {
        'phrases': args.phrases,
        'batch_size': args.batch_size or loader.get('batch_size', 1),
        'training': not args.predict,
        'num_gpus': args.num_gpus,
        'lmm_gpus': args.lmm_gpus,
    }
    print(', '.join(f'{name} {value}' for name, value in shared.items()))
    print(f'| tokens | {" | ".join(PARTS)} | all |')
    print('| --- ' * (len(PARTS) + 2) + '|')
    for tokens in args.tokens:
        parts = [value / GB for value in estimated_bytes(model, Load(tokens=tokens, **shared)).values()]
        print(f'| {tokens:,} | {" | ".join(f"{value:.2f}" for value in parts)} | {sum(parts):.1f} |')
    for name, meaning in PARTS.items():
        print(f'{name}: {meaning}')
    if config.model.get('tracker') is not None:
        print('model.tracker is left out: its SAM 2 comes on top, and so does what it remembers of a clip')


if __name__ == '__main__':
    main()
