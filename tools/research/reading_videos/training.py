"""Fine-tune an LMM on videos, and train mask heads over it, with the tools that users have."""

import json
import os
import subprocess
import sys
from pathlib import Path

from demo_assets.tokenizer import X_TOKENS, Y_TOKENS

from flmm.atomic_write import open_atomic
from flmm.shapes.build_video import CHAT_FILE

DEMO_LMM = 'assets/demo_lmm'
CONFIGS = {'video': 'configs/shapes/demo_video.py', 'images': 'configs/shapes/demo_video_images.py'}
"""By how the LMM reads frames."""
LMM_OPTION = 'model.lmm.name_or_path'


def write_moments(data: Path, file: Path) -> None:
    """Write those conversations of shapes in motion that are about a single moment, two frames of a video.

    Raises:
        ValueError: there is none, as in data that an earlier version has drawn.
    """
    lines = (data / CHAT_FILE).read_bytes().splitlines(keepends=True)
    first_parts = [json.loads(line)['messages'][0]['content'][0] for line in lines]
    about_moments = [line for line, part in zip(lines, first_parts, strict=True) if len(part.get('video', ())) == 2]
    if not about_moments:
        raise ValueError(
            f'{data / CHAT_FILE} has no conversation about a moment; draw it anew: '
            f'python tools/make_shapes.py --video --out {data} --train 4000 --workers 2 --overwrite'
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(file) as moments:
        moments.writelines(about_moments)


def finetune(
    source: str | Path, output: Path, *, data: Path, image_root: Path, steps: int, batch_size: int, lr: float
) -> None:
    """Fine-tune all of an LMM on conversations about shapes in motion, or go on with that.

    Args:
        source: folder of the LMM.
        output: folder of the checkpoint.
        data: file of the conversations.
        image_root: folder of tools/make_shapes.py --video.
        steps: weight updates.
        batch_size: conversations of each.
        lr: the highest rate.
    """
    resume = ['--resume'] if any(output.glob('checkpoint-*')) else []
    _run(
        'tools/finetune_lmm.py',
        *resume,
        *('--model', str(source), '--output', str(output), '--data', str(data), '--image-root', str(image_root)),
        *('--max-steps', str(steps), '--batch-size', str(batch_size), '--lr', str(lr), '--warmup-steps', '30'),
        *('--workers', '1', '--save-steps', '500', '--log-steps', '25'),
        *('--assistant-tokens', *X_TOKENS, *Y_TOKENS),
    )


def train_head(lmm: str | Path, work_dir: Path, *, read_as: str, seed: int) -> Path:
    """Train a mask head over an LMM that reads frames in one way, and return its checkpoint."""
    options = (f'{LMM_OPTION}={lmm}', f'randomness.seed={seed}')
    _run('tools/train.py', CONFIGS[read_as], '--work-dir', str(work_dir), '--cfg-options', *options)
    return work_dir / 'epoch_1.pth'


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, env={**os.environ, 'PYTHONPATH': str(Path.cwd())})
