"""Fine-tune a Qwen2-VL or Qwen2.5-VL checkpoint on conversations about images and videos.

    python tools/finetune_lmm.py --model Qwen/Qwen2.5-VL-3B-Instruct --data train.jsonl --output work_dirs/sft

The data format is described in flmm/finetune/chat_format.py. All conversations and the headers of
all images and videos are checked before training. The output folder is a checkpoint for `from_pretrained`.
"""

import argparse
import math
from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from flmm.finetune import (
    ChatCollator,
    ChatDataset,
    frame_size_for,
    freeze_parts,
    set_image_size,
    set_video_size,
)
from flmm.images import MAX_IMAGE_PIXELS, ORIENTATIONS
from flmm.pretrained import load_lmm, load_processor


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument('--output', required=True, help='folder for checkpoints and the final model')
    parser.add_argument('--freeze', nargs='*', default=[], metavar='PART', help='of: vision, merger, language')
    parser.add_argument('--epochs', type=float, default=1.0)
    parser.add_argument('--max-steps', type=int, default=-1, help='overrides --epochs')
    parser.add_argument('--lr', type=float, default=1e-5)
    parser.add_argument('--warmup-steps', type=float, default=0.03, help='steps, or a fraction of all steps if below 1')
    parser.add_argument('--weight-decay', type=float, default=0.0)
    parser.add_argument('--batch-size', type=int, default=1, help='conversations per device and step')
    parser.add_argument('--accumulate', type=int, default=1, help='steps per weight update')
    parser.add_argument('--max-length', type=int, help='cut longer sequences')
    parser.add_argument('--min-pixels', type=int, help='smallest image area after resizing')
    parser.add_argument('--max-pixels', type=int, help='largest image area after resizing')
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
    for name, what in (
        ('min', 'smallest area of a frame of a video, by default that of 128 tokens'),
        ('max', 'largest area of a frame, by default that of 768 tokens'),
        ('total', 'largest area of all frames of a video, by default that of 115,200 tokens'),
    ):
        parser.add_argument(f'--video-{name}-pixels', type=int, help=what)
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse numbers out of their range before anything is loaded.

    Raises:
        ValueError: names the option and its range.
    """
    least_one = ('batch_size', 'accumulate', 'max_length', 'save_steps', 'log_steps')
    least_one += ('video_min_pixels', 'video_max_pixels', 'video_total_pixels')
    ranges = {
        'epochs': (args.epochs > 0 or args.max_steps > 0, 'above 0'),
        'max_steps': (args.max_steps > 0 or args.max_steps == -1, 'above 0, or -1 to go by --epochs'),
        'lr': (args.lr > 0, 'above 0'),
        'warmup_steps': (args.warmup_steps >= 0, '0 or more'),
        'weight_decay': (args.weight_decay >= 0, '0 or more'),
        'workers': (args.workers >= 0, '0 or more'),
        'seed': (0 <= args.seed < 2**32, '0 to 2**32 - 1'),
        **{name: (getattr(args, name) is None or getattr(args, name) >= 1, '1 or more') for name in least_one},
    }
    for name, (in_range, expected) in ranges.items():
        value = getattr(args, name)
        if not in_range or (value is not None and not math.isfinite(value)):
            raise ValueError(f'--{name.replace("_", "-")} is {value}, expected {expected}')
    if Path(args.output).exists() and not Path(args.output).is_dir():
        raise ValueError(f'--output {args.output!r} is a file, expected a folder')


def check_resuming(args: argparse.Namespace) -> None:
    """Refuse to go on with another rate or weight decay: Trainer would take those of the checkpoint without a word.

    Raises:
        ValueError: there is no checkpoint, or it was made with another one of them; names both.
    """
    checkpoint = get_last_checkpoint(args.output) if Path(args.output).is_dir() else None
    if checkpoint is None:
        raise ValueError(f'--resume: {args.output!r} has no checkpoint to go on from; leave --resume out')
    optimizer = torch.load(Path(checkpoint, 'optimizer.pt'), map_location='cpu', weights_only=True, mmap=True)
    for option, key in (('lr', 'initial_lr'), ('weight_decay', 'weight_decay')):
        asked, stored = getattr(args, option), max(group[key] for group in optimizer['param_groups'])
        if asked != stored:
            name = f'--{option.replace("_", "-")}'
            raise ValueError(
                f'{name} is {asked}, and {checkpoint!r} was trained with {stored}; resume with {name} {stored}, or '
                'start anew from its weights with --model and another --output'
            )


def main() -> None:
    args = parse_args()
    check_arguments(args)
    if args.resume:
        check_resuming(args)
    processor = load_processor(args.model)
    set_image_size(processor, min_pixels=args.min_pixels, max_pixels=args.max_pixels)
    try:
        frame_size = frame_size_for(
            processor,
            min_pixels=args.video_min_pixels,
            max_pixels=args.video_max_pixels,
            total_pixels=args.video_total_pixels,
        )
    except ValueError as error:
        raise ValueError(f'--video-... of {error}') from error
    collator = ChatCollator(processor, max_length=args.max_length)
    dataset = ChatDataset(
        args.data,
        image_root=args.image_root,
        allow_outside=args.allow_outside,
        assistant_tokens=args.assistant_tokens,
        orientation=args.orientation,
        max_pixels=args.max_image_pixels,
        frame_size=frame_size,
    )
    for index in range(len(dataset)):  # all of it now: an error hours into the training would cost it
        collator.check(dataset.without_images(index), dataset.image_sizes(index), dataset.video_shapes(index))
    if any(dataset.video_shapes(index) for index in range(len(dataset))):
        set_video_size(processor, frame_size)  # the model is to read videos as it was trained to

    use_bf16 = args.precision == 'bf16' or (
        args.precision == 'auto' and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    )
    model = load_lmm(args.model, dtype=torch.float32, attn_implementation=args.attention)
    model.config.use_cache = False
    trained = freeze_parts(model, args.freeze)
    print(f'{len(dataset)} conversations; {trained:,} of {model.num_parameters():,} parameters are trained')

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=args.output,
            num_train_epochs=args.epochs,
            max_steps=args.max_steps,
            learning_rate=args.lr,
            lr_scheduler_type='cosine',
            warmup_steps=args.warmup_steps,
            weight_decay=args.weight_decay,
            per_device_train_batch_size=args.batch_size,
            gradient_accumulation_steps=args.accumulate,
            gradient_checkpointing=args.gradient_checkpointing,
            bf16=use_bf16,
            dataloader_num_workers=args.workers,
            save_steps=args.save_steps,
            logging_steps=args.log_steps,
            remove_unused_columns=False,
            report_to='none',
            seed=args.seed,
        ),
        train_dataset=dataset,
        data_collator=collator,
        processing_class=processor,
    )
    trainer.train(resume_from_checkpoint=args.resume or None)
    trainer.save_model(args.output)


if __name__ == '__main__':
    main()
