"""Teach the demo LMM to read videos, and train mask heads over it, with the tools that users have."""

import os
import subprocess
import sys
from pathlib import Path

from demo_assets.tokenizer import X_TOKENS, Y_TOKENS

DEMO_LMM = 'assets/demo_lmm'
CONFIGS = {'video': 'configs/shapes/demo_video.py', 'images': 'configs/shapes/demo_video_images.py'}
"""By how the LMM reads frames."""
LMM_OPTION = 'model.lmm.name_or_path'


def finetune(data: Path, output: Path, *, steps: int, seed: int) -> None:
    """Fine-tune all of the demo LMM on the conversations of shapes in motion.

    Args:
        data: folder of tools/make_shapes.py --video.
        output: folder of the checkpoint.
        steps: weight updates of 8 conversations.
        seed: of their order.
    """
    _run(
        'tools/finetune_lmm.py',
        *('--model', DEMO_LMM, '--data', str(data / 'chat.jsonl'), '--output', str(output)),
        *('--max-steps', str(steps), '--batch-size', '8', '--lr', '1.5e-3', '--warmup-steps', '30', '--workers', '1'),
        *('--save-steps', str(steps), '--seed', str(seed), '--assistant-tokens', *X_TOKENS, *Y_TOKENS),
    )


def train_head(lmm: str | Path, work_dir: Path, *, read_as: str, seed: int) -> Path:
    """Train a mask head over an LMM that reads frames in one way, and return its checkpoint."""
    options = (f'{LMM_OPTION}={lmm}', f'randomness.seed={seed}')
    _run('tools/train.py', CONFIGS[read_as], '--work-dir', str(work_dir), '--cfg-options', *options)
    return work_dir / 'epoch_1.pth'


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, env={**os.environ, 'PYTHONPATH': str(Path.cwd())})
