"""What transformers' Trainer does otherwise than asked where it resumes, found before it does."""

import argparse
import json
from pathlib import Path

import torch
from transformers.trainer_utils import get_last_checkpoint


def check_resuming(args: argparse.Namespace) -> Path:
    """Refuse what Trainer does otherwise than asked, without a word: it takes rate and weight decay of the checkpoint,
    and trains at least one step more, whether any is left or not.

    Returns:
        The checkpoint to go on from. Its weights are to be loaded as those of any model: Trainer looks for them by the
        names that modules have now, finds none under those that transformers saves them by, and would go on without.

    Raises:
        ValueError: there is no checkpoint, it is not all there, it was made with another one of them (names both), or
            nothing is left to train.
    """
    checkpoint = get_last_checkpoint(args.output) if Path(args.output).is_dir() else None
    if checkpoint is None:
        raise ValueError(f'--resume: {args.output!r} has no checkpoint to go on from; leave --resume out')
    for name in ('optimizer.pt', 'trainer_state.json'):
        if not Path(checkpoint, name).exists():
            raise ValueError(
                f'--resume: {checkpoint!r} has no {name}, as if it had not been written to its end; remove it to go on '
                'from the one before'
            )
    state = json.loads(Path(checkpoint, 'trainer_state.json').read_text(encoding='utf-8'))
    asked, done = ('max_steps', state['global_step']) if args.max_steps > 0 else ('epochs', state['epoch'])
    if done >= getattr(args, asked):
        name = f'--{asked.replace("_", "-")}'
        raise ValueError(
            f'--resume: {name} is {getattr(args, asked):g}, and {checkpoint!r} has been trained for {done:g}; take '
            f'what is there, or ask for more by {name}'
        )
    optimizer = torch.load(Path(checkpoint, 'optimizer.pt'), map_location='cpu', weights_only=True, mmap=True)
    for option, key in (('lr', 'initial_lr'), ('weight_decay', 'weight_decay')):
        asked, stored = getattr(args, option), max(group[key] for group in optimizer['param_groups'])
        if asked != stored:
            name = f'--{option.replace("_", "-")}'
            raise ValueError(
                f'{name} is {asked}, and {checkpoint!r} was trained with {stored}; resume with {name} {stored}, or '
                'start anew from its weights with --model and another --output'
            )
    return Path(checkpoint)
