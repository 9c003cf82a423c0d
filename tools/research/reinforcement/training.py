"""The ways to train the demo LMM that are compared."""

import random
from pathlib import Path
from typing import Any

import torch
from demo_assets.model import use_fast_layers
from transformers import PreTrainedModel, Trainer, TrainingArguments

from flmm.finetune import ChatCollator, ChatDataset
from flmm.pretrained import load_lmm, load_processor
from flmm.reinforce import MaskIoU, PromptDataset, SampleLog, TrlReward, grpo_trainer, save_policy
from reinforcement.measure import FORMAT, MAX_NEW_TOKENS
from reinforcement.scenes import LOCATION_TOKENS

SEQUENCES = 32
"""Conversations, or completions, of one step."""
GENERATIONS = 8
SUPERVISED_RATE, REINFORCED_RATE = 1e-3, 3e-4
BETA = 0.02


class ShuffledReward(TrlReward):
    """The control: the rewards of a step, dealt out anew to its completions by lot."""

    def __call__(self, **kwargs: Any) -> list[float]:
        """Score, then shuffle."""
        scores = super().__call__(**kwargs)
        random.Random(kwargs['trainer_state'].global_step).shuffle(scores)
        return scores


def supervise(model: str | Path, data: Path, output: Path, *, steps: int, seed: int) -> None:
    """Fine-tune a model with supervision on the answers of ``data``."""
    lmm = load(model)
    lmm.config.use_cache = False
    processor = load_processor(model)
    trainer = Trainer(
        model=lmm,
        args=TrainingArguments(
            output_dir=str(output / 'trainer'),
            max_steps=steps,
            learning_rate=SUPERVISED_RATE,
            lr_scheduler_type='cosine',
            warmup_steps=min(20, steps // 4),
            per_device_train_batch_size=SEQUENCES,
            remove_unused_columns=False,
            save_strategy='no',
            logging_steps=10,
            report_to='none',
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        ),
        train_dataset=ChatDataset(data, assistant_tokens=LOCATION_TOKENS),
        data_collator=ChatCollator(processor),
    )
    trainer.train()
    lmm.config.use_cache = True
    lmm.save_pretrained(output)
    processor.save_pretrained(output)


def reinforce(
    model: str | Path,
    data: Path,
    output: Path,
    *,
    reward: str,
    steps: int,
    seed: int,
    mask_iou: MaskIoU | None = None,
    shuffled: bool = False,
) -> None:
    """Reinforce a model by one reward, as tools/reinforce_lmm.py does."""
    lmm, processor = load(model), load_processor(model)
    prompts = PromptDataset(data, processor, needs={'rles'}, assistant_tokens=LOCATION_TOKENS)
    log = SampleLog(output, weights={reward: 1.0}, every=10)
    kind = ShuffledReward if shuffled else TrlReward
    trainer = grpo_trainer(
        lmm,
        processor,
        prompts,
        [kind(reward, answer_format=FORMAT, log=log, mask_iou=mask_iou)],
        output_dir=str(output),
        max_steps=steps,
        learning_rate=REINFORCED_RATE,
        lr_scheduler_type='constant_with_warmup',
        warmup_steps=5,
        per_device_train_batch_size=SEQUENCES,
        num_generations=GENERATIONS,
        max_completion_length=MAX_NEW_TOKENS,
        temperature=1.0,
        beta=BETA,
        gradient_checkpointing=False,
        bf16=False,
        save_strategy='no',
        logging_steps=max(1, steps // 8),
        report_to='none',
        disable_tqdm=True,
        use_cpu=True,
        seed=seed,
    )
    trainer.train()
    save_policy(trainer, output)


def load(model: str | Path) -> PreTrainedModel:
    """Load a demo LMM with layers that are faster on a CPU."""
    lmm = load_lmm(model, dtype=torch.float32)
    use_fast_layers(lmm)
    return lmm
