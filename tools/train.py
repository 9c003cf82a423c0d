"""Train a config: ``python tools/train.py configs/qwen/qwen2_5_vl_3b_sam_l_refcoco.py``."""

import argparse

import torch
from mmengine.config import Config

from flmm.engine.runner import unwrapped_model
from flmm.engine.runner_from_args import add_runner_arguments, build_runner, load_config


def use_amp(config: Config) -> None:
    """Run the mask head, the projection and SAM in mixed precision while training; the LMM keeps its own."""
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch sees none; leave it out')
    if config.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp replaces OptimWrapper, but the config has {config.optim_wrapper.type!r}; leave it out')
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.optim_wrapper.setdefault('dtype', 'bfloat16')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_runner_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16) for all but the LMM')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest checkpoint of the work dir, or from the one given, with the settings of the config',
    )
    args = parser.parse_args()
    config = load_config(args)
    if args.amp:
        use_amp(config)
    if args.resume:
        config.resume = args.resume
    if args.resume not in (None, 'auto'):
        config.load_from = args.resume
    runner = build_runner(config)
    if not unwrapped_model(runner).is_trained:
        raise ValueError(
            f'the model of {args.config!r} has nothing to train: its mask head has no parameters; test it with '
            'tools/test.py, without a checkpoint'
        )
    runner.train()


if __name__ == '__main__':
    main()
