"""GRPO (DeepSeekMath, arXiv:2402.03300) by TRL, on prompts and rewards of this package."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from flmm.reinforce.order_of_prompts import EpochSampler
from flmm.reinforce.prompts import PromptDataset
from flmm.reinforce.scoring import TrlReward

if TYPE_CHECKING:
    from trl import GRPOTrainer

ADAPTED = r'.*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)'
"""What LoRA adapts: all linear layers of the language model, none of the vision tower."""


def check_installed(*, vllm: bool = False) -> None:
    """Refuse to begin where something is missing.

    Args:
        vllm: whether vLLM, and a GPU for it, are needed.

    Raises:
        ValueError: names what is missing, and how to install it.
    """
    for name in ('trl', 'peft'):
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"{name} is not installed, which reinforcement needs: pip install 'flmm[rl]' (Python 3.11+)"
            )
    if vllm and importlib.util.find_spec('vllm') is None:
        raise ValueError('vLLM is not installed: pip install vllm, or leave --vllm out, for generation by transformers')
    if vllm and not torch.cuda.is_available():
        raise ValueError('vLLM needs a GPU, and there is none; leave --vllm out, for generation by transformers')


def grpo_trainer(
    model: PreTrainedModel,
    processor: Any,
    dataset: PromptDataset,
    rewards: Sequence[TrlReward],
    *,
    lora: dict[str, Any] | None = None,
    **settings: Any,
) -> 'GRPOTrainer':
    """Build TRL's trainer.

    Args:
        model: the policy, loaded from the folder or hub name that the reference model of the KL term is loaded from.
        processor: of the model; it pads on the left from now on.
        dataset: the prompts.
        rewards: in the order of ``reward_weights``.
        lora: ``LoraConfig``'s ``r``, ``lora_alpha`` and ``lora_dropout``; None trains the model itself.
        **settings: ``GRPOConfig``'s.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer

    class Trainer(GRPOTrainer):
        def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
            return EpochSampler(super()._get_train_sampler(dataset), seed=self.args.seed)

    processor.tokenizer.padding_side = 'left'  # completions follow prompts; TRL expects it, and pads so without a word

    def columns(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        rows = [dataset[index] for index in batch['index']]
        return {key: [row[key] for row in rows] for key in rows[0]}

    # TRL takes a Dataset of the library datasets alone. Pixels are read on access, as ChatDataset reads them.
    prompts = Dataset.from_dict({'index': list(range(len(dataset)))}).with_transform(columns)
    adapter = None if lora is None else LoraConfig(task_type='CAUSAL_LM', target_modules=ADAPTED, **lora)
    return Trainer(
        model=model,
        reward_funcs=list(rewards),
        args=GRPOConfig(remove_unused_columns=False, **settings),
        train_dataset=prompts,
        processing_class=processor,
        peft_config=adapter,
    )


def save_policy(trainer: 'GRPOTrainer', folder: str | Path) -> None:
    """Write the trained model as a checkpoint for ``from_pretrained``, adapters merged into it; and what was logged.

    The adapter by itself lies in the last of the trainer's checkpoints.
    """
    trainer.save_state()
    if not hasattr(trainer.model, 'merge_and_unload'):
        trainer.save_model(str(folder))
    elif trainer.accelerator.is_main_process:
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)
