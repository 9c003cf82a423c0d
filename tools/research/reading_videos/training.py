"""Fine-tune an LMM on videos, and train mask heads over it, with the tools that users have."""

import os
import subprocess
import sys
from pathlib import Path

from demo_assets.tokenizer import X_TOKENS, Y_TOKENS

DEMO_LMM = 'assets/demo_lmm'
CONFIGS = {'video': 'configs/shapes/demo_video.py', 'images': 'configs/shapes/demo_video_images.py'}
"""By how the LMM reads frames."""
LMM_OPTION = 'model.lmm.name_or_path'


def finetune(source: str | Path, data: Path, output: Path, *, steps: int) -> None:
    """Fine-tune all of an LMM on the conversations of shapes in motion.

    Args:
        source: folder of the LMM.
        data: folder of tools/make_shapes.py --video.
        output: folder of the checkpoint.
        steps: weight updates of 8 conversations.
    """
    _run(
        'tools/finetune_lmm.py',
        *('--model', str(source), '--data', str(data / 'chat.jsonl'), '--output', str(output)),
        *('--max-steps', str(steps), '--batch-size', '8', '--lr', '1.5e-3', '--warmup-steps', '30', '--workers', '1'),
        *('--save-steps', '500', '--log-steps', '25', '--assistant-tokens', *X_TOKENS, *Y_TOKENS),
    )


def train_head(lmm: str | Path, work_dir: Path, *, read_as: str, seed: int) -> Path:
    """Train a mask head over an LMM that reads frames in one way, and return its checkpoint."""
    options = (f'{LMM_OPTION}={lmm}', f'randomness.seed={seed}')
    _run('tools/train.py', CONFIGS[read_as], '--work-dir', str(work_dir), '--cfg-options', *options)
    return work_dir / 'epoch_1.pth'


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, env={**os.environ, 'PYTHONPATH': str(Path.cwd())})
