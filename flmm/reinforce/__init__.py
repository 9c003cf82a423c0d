"""Reinforcement of a Qwen2-VL or Qwen2.5-VL checkpoint by rewards of what its answers find (extra ``rl``).

TRL and PEFT are imported where a trainer is built, not before.
"""

from flmm.reinforce.answer import Answer, AnsweredObject, AnswerFormat, AnswerFrame
from flmm.reinforce.formats import ANSWER_FORMATS
from flmm.reinforce.mask_iou import MaskIoU
from flmm.reinforce.prompts import COORDINATES, PromptDataset
from flmm.reinforce.rewards import REWARDS, Reward, chosen_rewards
from flmm.reinforce.scoring import SampleLog, TrlReward
from flmm.reinforce.training import check_installed, grpo_trainer, save_policy
from flmm.reinforce.truth import Truth, parse_truth

__all__ = [
    'ANSWER_FORMATS',
    'COORDINATES',
    'REWARDS',
    'Answer',
    'AnswerFormat',
    'AnswerFrame',
    'AnsweredObject',
    'MaskIoU',
    'PromptDataset',
    'Reward',
    'SampleLog',
    'TrlReward',
    'Truth',
    'check_installed',
    'chosen_rewards',
    'grpo_trainer',
    'parse_truth',
    'save_policy',
]
