"""What the command lines of supervised fine-tuning and of reinforcement have in common."""

import argparse
import math
import os
from pathlib import Path
from typing import Any

import torch

from flmm.images import MAX_IMAGE_PIXELS, ORIENTATIONS

AT_LEAST_ONE = (
    'batch_size', 'accumulate', 'max_length', 'save_steps', 'log_steps',
    'video_min_pixels', 'video_max_pixels', 'video_total_pixels',
)  # fmt: skip


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of model, data and images."""
    parser.add_argument('--model', required=True, help='folder or hub id of a Qwen2-VL or Qwen2.5-VL checkpoint')
    parser.add_argument('--data', required=True, help='JSON-lines file of conversations')
    parser.add_argument('--image-root', help="folder of the images; the data file's own folder by default")
    parser.add_argument('--allow-outside', action='store_true', help='read images that lie outside --image-root, too')
    parser.add_argument(
        '--orientation',
        choices=ORIENTATIONS,
        default='apply',
        help='what to do with photos that EXIF says to turn (default: %(default)s)',
    )
    parser.add_argument(
        '--max-image-pixels',
        type=int,
        default=MAX_IMAGE_PIXELS,
        help='refuse image files of more pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--assistant-tokens',
        nargs='*',
        default=[],
        metavar='TOKEN',
        help='special tokens that answers may contain, such as "<|box_start|>"',
    )
    parser.add_argument('--min-pixels', type=int, help='smallest image area after resizing')
    parser.add_argument('--max-pixels', type=int, help='largest image area after resizing')


def add_training_arguments(parser: argparse.ArgumentParser, *, lr: float) -> None:
    """Add the options of training.

    Args:
        parser: takes them.
        lr: default of the learning rate.
    """
    parser.add_argument('--output', required=True, help='folder for checkpoints and the final model')
    parser.add_argument('--freeze', nargs='*', default=[], metavar='PART', help='of: vision, merger, language')
    parser.add_argument('--epochs', type=float, default=1.0)
    parser.add_argument('--max-steps', type=int, default=-1, help='overrides --epochs')
    parser.add_argument('--lr', type=float, default=lr, help='(default: %(default)s)')
    parser.add_argument('--warmup-steps', type=float, default=0.03, help='steps, or a fraction of all steps if below 1')
    parser.add_argument('--weight-decay', type=float, default=0.0)
    parser.add_argument('--accumulate', type=int, default=1, help='steps per weight update')
    parser.add_argument(
        '--precision', choices=['auto', 'bf16', 'fp32'], default='auto', help='auto: bf16 where it runs'
    )
    parser.add_argument('--attention', default='sdpa', help='sdpa, flash_attention_2 or eager')
    parser.add_argument('--gradient-checkpointing', action='store_true')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--save-steps', type=int, default=500)
    parser.add_argument('--log-steps', type=int, default=10)
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint in --output')
    parser.add_argument('--seed', type=int, default=0)


def check_arguments(args: argparse.Namespace, ranges: dict[str, tuple[bool, str]] | None = None) -> None:
    """Refuse numbers out of their range before anything is loaded.

    Args:
        args: what the command line said.
        ranges: of further options: whether their value is in range, and which range that is.

    Raises:
        ValueError: names the option and its range; or --data is no file; or --output is one, the folder of
            --model, or that of another run which is not resumed; or processes will not find each other.
    """
    least_one = [name for name in AT_LEAST_ONE if hasattr(args, name)]
    checked = {
        'epochs': (args.epochs > 0 or args.max_steps > 0, 'above 0'),
        'max_steps': (args.max_steps > 0 or args.max_steps == -1, 'above 0, or -1 to go by --epochs'),
        'lr': (args.lr > 0, 'above 0'),
        'warmup_steps': (args.warmup_steps >= 0, '0 or more'),
        'weight_decay': (args.weight_decay >= 0, '0 or more'),
        'workers': (args.workers >= 0, '0 or more'),
        'seed': (0 <= args.seed < 2**32, '0 to 2**32 - 1'),
        **{name: (getattr(args, name) is None or getattr(args, name) >= 1, '1 or more') for name in least_one},
        **(ranges or {}),
    }
    for name, (in_range, expected) in checked.items():
        value = getattr(args, name)
        if not in_range or (value is not None and not math.isfinite(value)):
            raise ValueError(f'--{name.replace("_", "-")} is {value}, expected {expected}')
    if not Path(args.data).is_file():
        raise ValueError(f'--data: {args.data!r} is no file, expected one of conversations, a JSON object on each line')
    if Path(args.output).exists() and not Path(args.output).is_dir():
        raise ValueError(f'--output {args.output!r} is a file, expected a folder')
    if Path(args.model).resolve() == Path(args.output).resolve():
        raise ValueError(
            f'--output {args.output!r} is the folder of --model, which the trained model would replace, and which is '
            'needed as it is to resume; name another folder'
        )
    if num_processes() > 1 and not torch.accelerator.is_available():
        from accelerate.utils import parse_flag_from_env  # here, since --help needs no extra

        if not parse_flag_from_env('ACCELERATE_USE_CPU'):
            check_processes(1)  # now, since TRL would complain of what it takes for the batch of all
    earlier = [path for name in ('samples', 'checkpoint-*') for path in sorted(Path(args.output).glob(name))]
    if earlier and not args.resume:
        go_on = '' if earlier[-1].name == 'samples' else 'add --resume to go on with that, '
        raise ValueError(
            f'--output {args.output!r} has {earlier[-1].name!r} of an earlier run, which would be taken for one of '
            f'this run; {go_on}name another folder, or remove it'
        )


def num_processes() -> int:
    """Return how many processes torchrun has started."""
    return int(os.environ.get('WORLD_SIZE', '1'))


def check_processes(trained_together: int) -> None:
    """Refuse processes that do not find each other.

    Args:
        trained_together: how many there are as accelerate sees it.

    Raises:
        ValueError: more were started.
    """
    if trained_together < num_processes():
        raise ValueError(
            f'{num_processes()} processes were started, and each would train by itself; on a CPU, set '
            'ACCELERATE_USE_CPU=true'
        )


def data_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says of :class:`ChatDataset`'s settings."""
    return {
        'image_root': args.image_root,
        'allow_outside': args.allow_outside,
        'assistant_tokens': args.assistant_tokens,
        'orientation': args.orientation,
        'max_pixels': args.max_image_pixels,
    }


def training_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says of transformers' ``TrainingArguments``."""
    use_bf16 = args.precision == 'bf16' or (
        args.precision == 'auto' and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    )
    return {
        'output_dir': args.output,
        'num_train_epochs': args.epochs,
        'max_steps': args.max_steps,
        'learning_rate': args.lr,
        'warmup_steps': args.warmup_steps,
        'weight_decay': args.weight_decay,
        'per_device_train_batch_size': args.batch_size,
        'gradient_accumulation_steps': args.accumulate,
        'gradient_checkpointing': args.gradient_checkpointing,
        'bf16': use_bf16,
        'dataloader_num_workers': args.workers,
        'save_steps': args.save_steps,
        'logging_steps': args.log_steps,
        'seed': args.seed,
    }
