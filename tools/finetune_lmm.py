"""Fine-tune a Qwen2-VL or Qwen2.5-VL checkpoint on conversations about images and videos.

    python tools/finetune_lmm.py --model Qwen/Qwen2.5-VL-3B-Instruct --data train.jsonl --output work_dirs/sft

The data format is described in flmm/finetune/chat_format.py. All conversations and the headers of
all images and videos are checked before training. The output folder is a checkpoint for `from_pretrained`.
"""

import argparse

import torch
from transformers import Trainer, TrainingArguments

from flmm.finetune import (
    ChatCollator,
    ChatDataset,
    frame_size_for,
    freeze_parts,
    set_image_size,
    set_video_size,
)
from flmm.finetune.arguments import (
    add_data_arguments,
    add_training_arguments,
    check_arguments,
    check_processes,
    data_settings,
    training_settings,
)
from flmm.finetune.resuming import check_resuming, write_settings
from flmm.pretrained import load_lmm, load_processor


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_training_arguments(parser, lr=1e-5)
    parser.add_argument('--batch-size', type=int, default=1, help='conversations per device and step')
    parser.add_argument('--max-length', type=int, help='cut longer sequences')
    for name, what in (
        ('min', 'smallest area of a frame of a video, by default that of 128 tokens'),
        ('max', 'largest area of a frame, by default that of 768 tokens'),
        ('total', 'largest area of all frames of a video, by default that of 115,200 tokens'),
    ):
        parser.add_argument(f'--video-{name}-pixels', type=int, help=what)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_arguments(args)
    checkpoint = check_resuming(args) if args.resume else None
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
    dataset = ChatDataset(args.data, frame_size=frame_size, **data_settings(args))
    for index in range(len(dataset)):  # all of it now: an error hours into the training would cost it
        collator.check(dataset.without_images(index), dataset.image_sizes(index), dataset.video_shapes(index))
    if any(dataset.video_shapes(index) for index in range(len(dataset))):
        set_video_size(processor, frame_size)  # the model is to read videos as it was trained to

    model = load_lmm(checkpoint or args.model, dtype=torch.float32, attn_implementation=args.attention)
    model.config.use_cache = False
    trained = freeze_parts(model, args.freeze)
    print(f'{len(dataset)} conversations; {trained:,} of {model.num_parameters():,} parameters are trained')

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            lr_scheduler_type='cosine', remove_unused_columns=False, report_to='none', **training_settings(args)
        ),
        train_dataset=dataset,
        data_collator=collator,
        processing_class=processor,
    )
    check_processes(trainer.accelerator.num_processes)
    if checkpoint is None and trainer.is_world_process_zero():
        write_settings(args)
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    trainer.save_model(args.output)


if __name__ == '__main__':
    main()
