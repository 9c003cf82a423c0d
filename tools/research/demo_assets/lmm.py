"""The demo model, grown stage by stage."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Trainer, TrainingArguments

from demo_assets.collator import SceneCollator
from demo_assets.conversations import SceneConversations, SizeBatches
from demo_assets.model import build_config, build_model, use_fast_layers
from demo_assets.probes import ProbedModel
from demo_assets.stages import Stage
from flmm.shapes import DIFFICULTY


class SceneTrainer(Trainer):
    """Draws batches of similar image sizes, and logs every part of the loss."""

    def __init__(self, *, batches: SizeBatches, **kwargs: object) -> None:
        super().__init__(train_dataset=batches.dataset, **kwargs)
        self._batches = batches
        self._parts: dict[str, Tensor] = {}

    def get_train_dataloader(self) -> DataLoader:
        """Load the batches of scenes in their fixed order."""
        return DataLoader(
            self._batches.dataset,
            batch_sampler=self._batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=4,
        )

    def compute_loss(
        self,
        model: ProbedModel,
        inputs: dict[str, object],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the base class's signature
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Sum the losses of the model."""
        output = model(**inputs)
        self._parts = output['parts']
        return (output['loss'], output) if return_outputs else output['loss']

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the tied embedding once; the base class knows how for transformers' own models only."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / 'model.safetensors'))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: ProbedModel | None = None) -> None:
        load_model(self.model, Path(resume_from_checkpoint) / 'model.safetensors')

    def log(self, logs: dict[str, float], *args: object) -> None:
        """Add the parts of the last step's loss."""
        super().log(logs | {name: round(value.item(), 3) for name, value in self._parts.items()}, *args)


def run_stage(
    stage: Stage,
    probed: ProbedModel,
    processor: Qwen2_5_VLProcessor,
    *,
    work_dir: Path,
    seed: int,
    workers: int = 2,
    resume: bool = False,
) -> None:
    """Train a model with its probes through one stage, in place.

    Args:
        stage: what to do.
        probed: the model, with fast layers in use, and its probes.
        processor: the model's processor.
        work_dir: checkpoints go to ``work_dir / stage.name``.
        seed: scenes are drawn from it and the stage's name.
        workers: processes that render scenes.
        resume: go on from the stage's last checkpoint.
    """
    probed.vision_only = stage.vision_only
    config = replace(DIFFICULTY['medium'], side_range=stage.sides)
    scenes = SceneConversations(config, seed=seed + sum(stage.name.encode()), max_noise=stage.max_noise)
    trainer = SceneTrainer(
        model=probed,
        batches=SizeBatches(scenes, units=stage.units),
        data_collator=SceneCollator(processor, pruned=stage.pruned),
        args=TrainingArguments(
            output_dir=str(work_dir / stage.name),
            max_steps=stage.steps,
            learning_rate=stage.lr,
            lr_scheduler_type='warmup_stable_decay',
            lr_scheduler_kwargs={'num_decay_steps': stage.decay_steps},
            warmup_steps=min(50, stage.steps // 4),
            weight_decay=0.01,
            adam_beta2=0.98,
            max_grad_norm=1.0,
            per_device_train_batch_size=1,
            dataloader_num_workers=workers,
            remove_unused_columns=False,
            logging_steps=25,
            save_steps=100,
            save_total_limit=2,
            report_to='none',
            disable_tqdm=True,
            seed=seed,
        ),
    )
    trainer.train(resume_from_checkpoint=resume or None)


def new_lmm(processor: Qwen2_5_VLProcessor, *, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Build an untrained demo model with fast layers."""
    torch.manual_seed(seed)
    lmm = build_model(build_config(processor))
    lmm.set_attn_implementation('eager')  # the probes need the weights of the language model's attention
    use_fast_layers(lmm)
    return lmm


def save_lmm(lmm: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path) -> None:
    """Write a checkpoint for ``from_pretrained``, weights in half precision."""
    state = {name: value.half() for name, value in lmm.state_dict().items()}
    lmm.save_pretrained(folder, state_dict=state)
    processor.save_pretrained(folder)
