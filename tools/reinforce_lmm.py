"""Reinforce a Qwen2-VL or Qwen2.5-VL checkpoint by rewards of what its answers find in images (GRPO, by TRL).

    python tools/reinforce_lmm.py --model work_dirs/sft --data train.jsonl --output work_dirs/rl \\
        --rewards format box_iou box_l1 point_l1
    python tools/reinforce_lmm.py --model work_dirs/sft --data train.jsonl --output work_dirs/rl \\
        --rewards format mask_iou=2 --grounder work_dirs/grounder --lora

The data format is that of tools/finetune_lmm.py with a key "truth" (flmm/reinforce/truth.py); all of it is checked
before training. What was sampled and how it was scored is written to samples/ in the output folder, which is then a
checkpoint for `from_pretrained`, adapters merged. docs/finetuning.md has the whole way.
"""

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path

import torch

from flmm.finetune import freeze_parts, set_image_size
from flmm.finetune.arguments import (
    add_data_arguments,
    add_training_arguments,
    check_arguments,
    check_processes,
    data_settings,
    num_processes,
    training_settings,
)
from flmm.finetune.resuming import check_resuming, write_settings
from flmm.pretrained import MODEL_FILES, checkpoint_source, load_lmm, load_processor
from flmm.reinforce import (
    ANSWER_FORMATS,
    COORDINATES,
    REWARDS,
    MaskIoU,
    PromptDataset,
    SampleLog,
    TrlReward,
    check_installed,
    chosen_rewards,
    grpo_trainer,
    save_policy,
)

LORA = {'lora_rank': 'r', 'lora_alpha': 'lora_alpha', 'lora_dropout': 'lora_dropout'}
"""How LoraConfig calls the options."""
LORA_DEFAULTS = {'lora_rank': 16, 'lora_alpha': 32, 'lora_dropout': 0.0}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_training_arguments(parser, lr=1e-6)
    parser.add_argument('--batch-size', type=int, default=8, help='completions per device and step')
    parser.add_argument(
        '--rewards', nargs='+', required=True, metavar='NAME[=WEIGHT]', help=f'of: {", ".join(REWARDS)}'
    )
    parser.add_argument(
        '--answer-format', choices=ANSWER_FORMATS, default='json_in_tags', help='(default: %(default)s)'
    )
    parser.add_argument(
        '--coordinates',
        choices=COORDINATES,
        default='resized',
        help='what answers count in: px of the image as it is read (Qwen2.5-VL), thousandths of it (Qwen2-VL), or px '
        'of the image itself, turned as --orientation says (default: %(default)s)',
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument('--grounder', help='for mask_iou: a folder or hub name that Grounder.from_pretrained reads')
    weights.add_argument('--grounder-config', help='or a config')
    parser.add_argument('--grounder-checkpoint', help='and its trained part')
    parser.add_argument(
        '--num-generations', type=int, default=8, help='completions of each prompt (default: %(default)s)'
    )
    parser.add_argument('--max-completion-length', type=int, default=256, help='in tokens (default: %(default)s)')
    parser.add_argument('--temperature', type=float, default=1.0)
    parser.add_argument(
        '--beta', type=float, default=0.0, help='weight of the KL divergence from --model; 0 needs no second model'
    )
    parser.add_argument('--lora', action='store_true', help='train adapters of the language model alone')
    for name, default in LORA_DEFAULTS.items():
        option = f'--{name.replace("_", "-")}'
        parser.add_argument(option, type=type(default), help=f'with --lora (default: {default})')
    parser.add_argument('--vllm', action='store_true', help='sample with vLLM, on the GPUs of the training')
    parser.add_argument('--report-to', choices=['none', 'tensorboard', 'wandb'], default='none')
    return parser.parse_args()


def completions_of_step(args: argparse.Namespace) -> int:
    return args.batch_size * args.accumulate * num_processes()


def check(args: argparse.Namespace) -> None:
    """Refuse options that are out of their range or do not fit together, before anything is loaded; fill defaults in.

    Raises:
        ValueError: names the option.
    """
    for name, default in LORA_DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
        elif not args.lora:
            raise ValueError(f'--{name.replace("_", "-")} is given without --lora; add that, or leave it out')
    check_arguments(
        args,
        {
            'num_generations': (args.num_generations >= 2, '2 or more, which are compared'),
            'max_completion_length': (args.max_completion_length >= 1, '1 or more'),
            'temperature': (args.temperature > 0, 'above 0'),
            'beta': (args.beta >= 0, '0 or more'),
            'lora_rank': (args.lora_rank >= 1, '1 or more'),
            'lora_alpha': (args.lora_alpha >= 1, '1 or more'),
            'lora_dropout': (0 <= args.lora_dropout < 1, '0 or more, below 1'),
        },
    )
    completions = completions_of_step(args)
    if completions % args.num_generations:
        raise ValueError(
            f'--num-generations is {args.num_generations}, which does not divide the {completions} completions of a '
            'step: --batch-size times --accumulate times processes, which must be a multiple of it'
        )
    counts = ANSWER_FORMATS[args.answer_format].counts
    if counts is not None and args.coordinates not in counts:
        raise ValueError(
            f'--coordinates is {args.coordinates}, and {args.answer_format} count {" or ".join(sorted(counts))} px '
            'alone; leave it out'
        )
    if args.lora and args.freeze:
        raise ValueError(
            '--freeze is given with --lora, which trains adapters of the language model alone; leave it out'
        )
    if args.vllm and (args.min_pixels, args.max_pixels) != (None, None):
        raise ValueError(
            '--min-pixels or --max-pixels is given with --vllm, which reads images at the size that the checkpoint '
            'names; fine-tune with them first (tools/finetune_lmm.py), or leave --vllm out'
        )
    if bool(args.grounder_config) != bool(args.grounder_checkpoint):
        raise ValueError('--grounder-config and --grounder-checkpoint need each other')
    check_installed(vllm=args.vllm)


def check_adapter(args: argparse.Namespace, checkpoint: Path) -> None:
    """Refuse to go on from adapters of another model.

    Raises:
        ValueError: names both models.
    """
    base = json.loads((checkpoint / 'adapter_config.json').read_text(encoding='utf-8'))['base_model_name_or_path']
    if Path(base).resolve() != Path(checkpoint_source(args.model, needs=MODEL_FILES)).resolve():
        raise ValueError(
            f'--model is {args.model!r}, and the adapters in {str(checkpoint)!r} were trained over {base!r}; resume '
            'with that, which may be a link to where it has been moved'
        )


def check_grounder(args: argparse.Namespace, rewards: Iterable[str]) -> bool:
    """Say whether rewards need a grounder.

    Raises:
        ValueError: one is needed and none is named, or the other way round.
    """
    needed, named = any(REWARDS[name].score is None for name in rewards), bool(args.grounder or args.grounder_config)
    if needed and not named:
        raise ValueError('reward mask_iou needs --grounder, or --grounder-config and --grounder-checkpoint')
    if named and not needed:
        raise ValueError('a grounder is named, and no reward asks it; add mask_iou to --rewards, or leave it out')
    return needed


def mask_iou(args: argparse.Namespace) -> MaskIoU:
    """Build the grounder of the reward by frozen attention."""
    from flmm import Grounder

    device = f'cuda:{os.environ.get("LOCAL_RANK", "0")}' if torch.cuda.is_available() else 'cpu'
    if args.grounder:
        return MaskIoU(Grounder.from_pretrained(args.grounder, device=device))
    return MaskIoU(Grounder.from_config(args.grounder_config, checkpoint=args.grounder_checkpoint, device=device))


def main() -> None:
    args = parse_args()
    check(args)
    answer_format = ANSWER_FORMATS[args.answer_format]
    weights = chosen_rewards(args.rewards, answer_format=answer_format)
    needs_grounder = check_grounder(args, weights)
    checkpoint = check_resuming(args) if args.resume else None
    if checkpoint is not None and args.lora:
        check_adapter(args, checkpoint)
    processor = load_processor(args.model)
    set_image_size(processor, min_pixels=args.min_pixels, max_pixels=args.max_pixels)
    needs = {field for name in weights if (field := REWARDS[name].needs) is not None}
    dataset = PromptDataset(args.data, processor, needs=needs, coordinates=args.coordinates, **data_settings(args))
    prompts = completions_of_step(args) // args.num_generations
    if len(dataset) < prompts:
        raise ValueError(
            f'{args.data}: {len(dataset)} prompts, fewer than the {prompts} of a step (--batch-size times --accumulate '
            'times processes, divided by --num-generations); nothing would be trained'
        )
    scorer = mask_iou(args) if needs_grounder else None

    weights_from = args.model if checkpoint is None or args.lora else checkpoint  # Trainer loads adapters
    model = load_lmm(weights_from, dtype=torch.float32, attn_implementation=args.attention)
    model.config._name_or_path = checkpoint_source(args.model, needs=MODEL_FILES)  # TRL loads the reference from there
    trained = (
        'adapters' if args.lora else f'{freeze_parts(model, args.freeze):,} of {model.num_parameters():,} parameters'
    )
    print(f'{len(dataset)} prompts; {trained} are trained')
    log = SampleLog(args.output, weights=weights, every=args.log_steps)
    trainer = grpo_trainer(
        model,
        processor,
        dataset,
        [TrlReward(name, answer_format=answer_format, log=log, mask_iou=scorer) for name in weights],
        lora={key: getattr(args, option) for option, key in LORA.items()} if args.lora else None,
        reward_weights=list(weights.values()),
        num_generations=args.num_generations,
        max_completion_length=args.max_completion_length,
        temperature=args.temperature,
        beta=args.beta,
        use_vllm=args.vllm,
        vllm_mode='colocate',
        report_to=args.report_to,
        lr_scheduler_type='constant_with_warmup',
        **training_settings(args),
    )
    check_processes(trainer.accelerator.num_processes)
    if checkpoint is None and trainer.is_world_process_zero():
        write_settings(args)
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    save_policy(trainer, args.output)


if __name__ == '__main__':
    main()
