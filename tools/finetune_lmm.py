"""Fine-tune a Qwen2-VL or Qwen2.5-VL checkpoint on conversations about images.

    python tools/finetune_lmm.py --model Qwen/Qwen2.5-VL-3B-Instruct --data train.jsonl --output work_dirs/sft

The data format is described in flmm/finetune/chat_dataset.py. The output folder is a checkpoint for `from_pretrained`.
"""

import argparse

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments

from flmm.finetune import ChatCollator, ChatDataset, freeze_parts


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', required=True, help='folder or hub id of a Qwen2-VL or Qwen2.5-VL checkpoint')
    parser.add_argument('--data', required=True, help='JSON-lines file of conversations')
    parser.add_argument('--image-root', help="folder of the images; the data file's own folder by default")
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
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    dataset = ChatDataset(args.data, image_root=args.image_root)

    use_bf16 = args.precision == 'bf16' or (
        args.precision == 'auto' and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    )
    size = {} if args.max_pixels is None else {'max_pixels': args.max_pixels}
    processor = AutoProcessor.from_pretrained(args.model, **size)
    model = AutoModelForImageTextToText.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation=args.attention
    )
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
        data_collator=ChatCollator(processor, max_length=args.max_length),
        processing_class=processor,
    )
    trainer.train(resume_from_checkpoint=args.resume or None)
    trainer.save_model(args.output)


if __name__ == '__main__':
    main()
