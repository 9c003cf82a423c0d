"""What transformers' Trainer does otherwise than asked where it resumes, found before it does."""

import argparse
import json
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from flmm.atomic_write import write_json
from flmm.features.file_state import sha256_of
from flmm.finetune.arguments import num_processes
from flmm.json_files import read_json

SETTINGS_FILE = 'settings.json'
GIVEN, NOT_GIVEN = 'given', 'not given'
"""What messages say of switches, and of options that have no value."""
MAY_DIFFER = {
    'model', 'data', 'image_root', 'output', 'grounder', 'grounder_config', 'grounder_checkpoint',
    'resume', 'epochs', 'max_steps', 'workers', 'save_steps', 'log_steps', 'report_to',
    'attention', 'gradient_checkpointing', 'allow_outside', 'max_image_pixels',
}  # fmt: skip
"""Options that a resumed run may have otherwise: places, which may have been moved, and what changes no step."""


def check_resuming(args: argparse.Namespace) -> Path:
    """Refuse what Trainer does otherwise than asked, without a word: it takes rate and weight decay of the checkpoint,
    goes on with whatever else is new, and trains at least one step more, whether any is left or not.

    Returns:
        The checkpoint to go on from. Its weights are to be loaded as those of any model: Trainer looks for them by the
        names that modules have now, finds none under those that transformers saves them by, and would go on without.

    Raises:
        ValueError: there is no checkpoint, it is not all there, an option is another one than it was trained with
            (names both), the number of processes or the content of ``--data`` is another, or nothing is
            left to train.
    """
    checkpoint = get_last_checkpoint(args.output) if Path(args.output).is_dir() else None
    if checkpoint is None:
        samples = ', and remove its samples' if Path(args.output, 'samples').exists() else ''
        raise ValueError(f'--resume: {args.output!r} has no checkpoint to go on from; leave --resume out{samples}')
    for name in ('optimizer.pt', 'trainer_state.json'):
        if not Path(checkpoint, name).exists():
            raise ValueError(
                f'--resume: {checkpoint!r} has no {name}, as if it had not been written to its end; remove it to go on '
                'from the one before (checkpoints of DeepSpeed and FSDP are not resumed)'
            )
    try:
        state = json.loads(Path(checkpoint, 'trainer_state.json').read_bytes())  # not read_json: its log may have NaN
    except ValueError as error:
        raise ValueError(
            f'--resume: trainer_state.json of {checkpoint!r} was cut off ({error}); remove the checkpoint to go on '
            'from the one before'
        ) from error
    asked, done = ('max_steps', state['global_step']) if args.max_steps > 0 else ('epochs', state['epoch'])
    if done >= getattr(args, asked) - 1e-9:  # parts of an epoch are rounded
        name = f'--{asked.replace("_", "-")}'
        raise ValueError(
            f'--resume: {name} is {getattr(args, asked):g}, and {checkpoint!r} has been trained for {done:g}; take '
            f'what is there, or ask for more by {name}'
        )
    _check_settings(args, checkpoint)
    return Path(checkpoint)


def write_settings(args: argparse.Namespace) -> None:
    """Write down the options of a run that begins, for :func:`check_resuming`: ``settings.json`` in ``--output``."""
    Path(args.output).mkdir(parents=True, exist_ok=True)
    write_json(Path(args.output, SETTINGS_FILE), _settings(args))


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        **{name: value for name, value in vars(args).items() if name not in MAY_DIFFER},
        'processes': num_processes(),
        'data_sha256': sha256_of(args.data),
    }


def _check_settings(args: argparse.Namespace, checkpoint: str) -> None:
    file = Path(args.output, SETTINGS_FILE)
    if not file.exists():
        raise ValueError(
            f'--resume: {args.output!r} has no {SETTINGS_FILE}, so what {checkpoint!r} was trained with is not known; '
            'start anew from its weights with --model and another --output'
        )
    stored, settings = read_json(str(file), setting='--resume:'), _settings(args)
    if not isinstance(stored, dict) or not {'processes', 'data_sha256'} <= stored.keys():
        raise ValueError(f'--resume: {str(file)!r} is not what a training has written; put its own file there')
    if stored['processes'] != settings['processes']:
        raise ValueError(
            f'--resume: the number of processes is {settings["processes"]}, and {checkpoint!r} was trained by '
            f'{stored["processes"]}; start as many, or start anew from its weights with --model and another --output'
        )
    if stored['data_sha256'] != settings['data_sha256']:
        raise ValueError(
            f'--resume: {str(args.data)!r} has another content than what {checkpoint!r} was trained on; resume with '
            'the file as it was, or start anew from its weights with --model and another --output'
        )
    for name, asked in settings.items():
        if asked == stored.get(name):
            continue
        option = f'--{name.replace("_", "-")}'
        was = _shown(stored.get(name))
        if was in (GIVEN, NOT_GIVEN):
            trained, remedy = 'with it' if was == GIVEN else 'without it', 'resume as it was'
        else:
            trained, remedy = f'with {was}', f'resume with {option} {was}'
        raise ValueError(
            f'{option} is {_shown(asked)}, and {checkpoint!r} was trained {trained}; {remedy}, or start anew from its '
            'weights with --model and another --output'
        )


def _shown(value: Any) -> str:
    if value is None or value is False or value == []:
        return NOT_GIVEN
    if value is True:
        return GIVEN
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
