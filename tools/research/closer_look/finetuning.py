"""Fine-tune the demo LMM until it answers questions."""

from pathlib import Path

import torch
from demo_assets.model import use_fast_layers
from transformers import Trainer, TrainingArguments

from closer_look.conversations import QuestionCollator, QuestionConversations
from flmm.pretrained import load_processor
from flmm.qwen import AdaptiveQwen2_5_VLForConditionalGeneration, AdaptiveQwen2_5_VLProcessor

DEMO_LMM = 'assets/demo_lmm'
BATCH_SIZE = 16


def finetune(output: Path, *, steps: int, seed: int, lr: float = 1.5e-3) -> None:
    """Fine-tune all of the demo LMM and write a checkpoint for ``from_pretrained``.

    Args:
        output: its folder.
        steps: weight updates of 16 conversations.
        seed: of conversations and their order.
        lr: learning rate at its highest.
    """
    torch.manual_seed(seed)
    processor = AdaptiveQwen2_5_VLProcessor.from_pretrained(DEMO_LMM)
    model = AdaptiveQwen2_5_VLForConditionalGeneration.from_pretrained(DEMO_LMM, dtype=torch.float32)
    model.config.use_cache = False
    use_fast_layers(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(output / 'trainer'),
            max_steps=steps,
            learning_rate=lr,
            lr_scheduler_type='cosine',
            warmup_steps=min(50, steps // 4),
            weight_decay=0.01,
            adam_beta2=0.98,
            per_device_train_batch_size=BATCH_SIZE,
            dataloader_num_workers=0,
            remove_unused_columns=False,
            save_strategy='no',
            logging_steps=10,
            report_to='none',
            disable_tqdm=True,
            seed=seed,
            use_cpu=True,
        ),
        train_dataset=QuestionConversations(seed=seed, length=steps * BATCH_SIZE),
        data_collator=QuestionCollator(processor),
    )
    trainer.train()
    model.config.use_cache = True
    model.save_pretrained(output)
    load_processor(DEMO_LMM).save_pretrained(output)  # as it was, whatever batches were read at
