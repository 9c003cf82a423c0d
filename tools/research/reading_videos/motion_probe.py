"""Let the demo LMM's vision tower see motion, by a linear probe that is thrown away, as the tower itself was grown.

Two frames that follow each other are one patch to Qwen2-VL and Qwen2.5-VL, so a patch shows how its shape moves. The
demo was grown on pictures, of which both frames are the same: its kernels read the mean of the two.

Letters: P patches, U units of 28 x 28 px in each moment of all videos of a batch, D the width of a token.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_assets.lmm import save_lmm
from demo_assets.model import use_fast_layers
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Qwen2_5_VLProcessor

from flmm.pretrained import load_lmm, load_processor
from flmm.shapes.generate_video import VideoSample, generate_video
from flmm.shapes.motion import DIRECTIONS
from flmm.shapes.sample_motion import SIDE_STEP, video_config
from flmm.shapes.video_chat import MERGED_FRAMES, MIN_PIXELS

MOTIONS = ('still', *DIRECTIONS)
MIN_COVER = 0.35
"""Share of a unit that a shape covers where the unit is asked for the shape's motion."""
FIRST_VIDEO = 10_000
"""Index of the first video that is drawn for it: beyond those of the dataset, whose split it shares."""
BATCH_SIZE = 8
DIFFERENCE = 0.5
"""How far the kernels of each of the two frames are moved from their mean at the start, as a share of its size."""
WARMUP = 30
"""Steps in which the learning rate rises."""
DECAY = 0.4
"""Share of the steps, at the end, in which it falls to zero."""
KEEP = 0.5
"""Weight of what the tower said before, in units of its variance."""


def teach_motion(source: str | Path, output: Path, *, steps: int, seed: int) -> None:
    """Train the vision tower to tell, in every unit that a shape covers, how that shape moves within the moment.

    Its tokens are kept near those of before, so that the language model still reads colours and kinds in them.

    Args:
        source: folder of the demo LMM.
        output: folder of the checkpoint.
        steps: weight updates of 8 videos.
        seed: of the probe, and of how kernels begin to differ.
    """
    processor = load_processor(source)
    lmm = load_lmm(source, dtype=torch.float32)
    use_fast_layers(lmm)
    tower = lmm.model.visual
    before = deepcopy(tower).requires_grad_(requires_grad=False)
    torch.manual_seed(seed)
    tell_frames_apart(tower.patch_embed.proj)
    probe = nn.Linear(lmm.config.vision_config.out_hidden_size, len(MOTIONS))
    optimizer = torch.optim.AdamW([*tower.parameters(), *probe.parameters()], lr=4e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP, 1, (steps - step) / steps / DECAY)
    )
    batches = DataLoader(
        MotionVideos(processor, length=steps * BATCH_SIZE), batch_size=BATCH_SIZE, collate_fn=_collate, num_workers=1
    )
    for step, (pixels, grids, motions) in enumerate(batches, start=1):
        tokens = tower(pixels, grid_thw=grids).pooler_output  # [U, D]
        with torch.no_grad():
            expected = before(pixels, grid_thw=grids).pooler_output
        seen = motions >= 0
        logits = probe(tokens[seen])
        told = F.cross_entropy(logits, motions[seen])
        kept = (tokens - expected).square().mean() / expected.var()
        (told + KEEP * kept).backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            right = (logits.argmax(dim=1) == motions[seen]).float().mean()
            print(f'motion probe, step {step}: {100 * right:.0f} % of the units right, tokens moved by {kept:.3f}')
    save_lmm(lmm, processor, output)


@torch.no_grad()
def tell_frames_apart(projection: nn.Conv3d) -> None:
    """Add to the kernels [out, 3, 2, p, p] what a picture, whose two frames are the same, does not show.

    Without it they get the same gradients, and stay the same for long.
    """
    mean = projection.weight.mean(dim=2)
    difference = DIFFERENCE * mean[torch.randperm(len(mean))]
    projection.weight += torch.stack([difference, -difference], dim=2)


class MotionVideos(Dataset):
    """Shapes in motion as the vision tower gets them, with how what each unit shows moves.

    Args:
        processor: of the LMM.
        length: how many videos.
    """

    def __init__(self, processor: Qwen2_5_VLProcessor, *, length: int) -> None:
        self.processor, self.length = processor, length
        self.config = video_config('medium')

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches [P, 1176], the grid [3] in patches, and :func:`unit_motions`."""
        sample = generate_video(FIRST_VIDEO + index, seed=0, split='train', config=self.config)
        frames = torch.from_numpy(sample.frames).movedim(-1, 1)
        size = {'shortest_edge': MIN_PIXELS, 'longest_edge': sample.frames[..., 0].size}
        inputs = self.processor.video_processor(videos=[frames], size=size, do_sample_frames=False, return_tensors='pt')
        return inputs['pixel_values_videos'], inputs['video_grid_thw'][0], torch.from_numpy(unit_motions(sample))


def unit_motions(sample: VideoSample) -> np.ndarray:
    """Say how what each unit shows moves in each moment.

    Returns:
        [moments * rows * columns] int64, an index of :data:`MOTIONS`, or -1 where no shape covers enough of the unit.
    """
    frames, shapes, height, width = sample.masks.shape
    rows, columns, moments = height // SIDE_STEP, width // SIDE_STEP, frames // MERGED_FRAMES
    units = sample.masks.reshape(moments, MERGED_FRAMES, shapes, rows, SIDE_STEP, columns, SIDE_STEP)
    cover = units.mean(axis=(1, 4, 6))  # [moments, shapes, rows, columns]
    found = np.full((moments, rows, columns), -1)
    for index, motion in enumerate(sample.video.motions):
        for moment in range(moments):
            said = motion.within(MERGED_FRAMES * moment, MERGED_FRAMES * (moment + 1) - 1) or 'still'
            found[moment][cover[moment, index] > MIN_COVER] = MOTIONS.index(said)
    return found.ravel()


def _collate(videos: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    pixels, grids, motions = zip(*videos, strict=True)
    return torch.cat(pixels), torch.stack(grids), torch.cat(motions)
