"""Supervised fine-tuning of a Qwen2-VL or Qwen2.5-VL checkpoint on chat-format data."""

from flmm.finetune.chat_dataset import ChatDataset, Conversation
from flmm.finetune.collator import IGNORE_INDEX, ChatCollator
from flmm.finetune.freezing import freeze_parts
from flmm.finetune.image_size import frame_size_for, set_image_size, set_video_size

__all__ = [
    'IGNORE_INDEX',
    'ChatCollator',
    'ChatDataset',
    'Conversation',
    'frame_size_for',
    'freeze_parts',
    'set_image_size',
    'set_video_size',
]
