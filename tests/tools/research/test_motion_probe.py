"""The motion probe: its targets against loops over pixels, pictures that are read as before, and what it trains."""

import copy
import re

import numpy as np
import pytest
import torch
from moving_shapes import step_of
from reading_videos.motion_probe import MOTIONS, MotionVideos, teach_motion, tell_frames_apart, unit_motions

from flmm.pretrained import load_lmm, load_processor
from flmm.shapes.generate_video import generate_video
from flmm.shapes.sample_motion import video_config

DEMO_LMM = 'assets/demo_lmm'


def test_units_are_asked_for_the_motion_of_what_covers_them():
    seen = set()
    for index in range(4):
        sample = generate_video(index, seed=5, split='val', config=video_config('medium'))
        _, shapes, height, width = sample.masks.shape
        found = unit_motions(sample).reshape(4, height // 28, width // 28)
        for moment, row, column in np.ndindex(found.shape):
            expected = 'nothing'
            for shape in range(shapes):
                area = sample.masks[2 * moment : 2 * moment + 2, shape]
                covered = area[:, 28 * row : 28 * row + 28, 28 * column : 28 * column + 28].sum() / (2 * 28 * 28)
                if covered > 0.35:
                    expected = step_of(sample, shape, 2 * moment)
            number = found[moment, row, column]
            assert ('nothing' if number < 0 else MOTIONS[number]) == expected
            seen.add(expected)
    assert seen == {'nothing', *MOTIONS}


def test_frames_are_told_apart_and_pictures_are_read_as_before():
    processor = load_processor(DEMO_LMM)
    tower = load_lmm(DEMO_LMM, dtype=torch.float64).model.visual.eval()
    tower.requires_grad_(requires_grad=False)
    apart = copy.deepcopy(tower)
    tell_frames_apart(apart.patch_embed.proj)
    pixels, grid, _ = MotionVideos(processor, length=1)[0]
    first, second = pixels.double().unflatten(1, (3, 2, -1)).unbind(2)  # [P, 3, 14 * 14]
    picture = torch.stack([first, first], dim=2).flatten(1)
    swapped = torch.stack([second, first], dim=2).flatten(1)
    read = [
        [each(patches, grid_thw=grid[None]).pooler_output for patches in (pixels.double(), swapped, picture)]
        for each in (tower, apart)
    ]
    assert read[0][0] == pytest.approx(read[0][1], abs=1e-9)  # as shipped, it does not see which frame is first
    assert read[1][2] == pytest.approx(read[0][2], abs=1e-9)
    assert (read[1][0] - read[1][1]).std() > 0.01 * read[1][0].std()


def test_the_tower_learns_and_the_language_model_stays(tmp_path, capsys):
    teach_motion(DEMO_LMM, tmp_path, steps=2, seed=0)
    assert re.fullmatch(
        r'motion probe, step 2: \d+ % of the units right, tokens moved by \d\.\d{3}\n', capsys.readouterr().out
    )
    before, after = (load_lmm(folder, dtype=torch.float32).state_dict() for folder in (DEMO_LMM, tmp_path))
    changed = {name for name, value in before.items() if not torch.equal(after[name].half(), value.half())}
    assert changed
    assert all('.visual.' in name for name in changed)
