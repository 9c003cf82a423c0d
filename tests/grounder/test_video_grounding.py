"""What is found of phrases in a video: results of all frames, files, and masks carried by SAM 2."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from tiny_video_sam import tiny_video_sam

from flmm.grounder import Grounding, VideoGrounding
from flmm.mask_logits import MaskLogits
from flmm.models.sam.video_tracker import VideoTracker

pytestmark = pytest.mark.usefixtures('on_one_thread')

PHRASES = ['the red circle', '../star', 'nothing']
SIZE = (40, 60)
SCORES = torch.tensor([[0.5, 0.9, 0.1], [0.7, 0.2, 0.3], [0.6, 0.8, 0.2], [0.1, 0.8, 0.0], [0.4, 0.1, 0.0]])


def truth():
    """[F, M, IH, IW] bool: a box that moves right, one that is not there in frame 0, and nothing."""
    masks = torch.zeros(5, 3, *SIZE, dtype=torch.bool)
    for frame in range(5):
        masks[frame, 0, 5:20, 3 * frame : 3 * frame + 20] = True
        masks[frame, 1, 20:35, 10:40] = frame > 0
    return masks


def grounding(**changes):
    rng = np.random.default_rng(0)
    logits = truth().float() - 0.5
    frames = [
        Grounding(
            image=Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)),
            phrases=PHRASES,
            coarse=MaskLogits.from_image(-logits[frame]),
            refined=MaskLogits.from_image(logits[frame]),
            scores=SCORES[frame],
        )
        for frame in range(5)
    ]
    settings = {
        'frames': frames,
        'frame_names': [f'{2 * frame:05}' for frame in range(5)],
        'indices': [0, 2, 4, 6, 8],
        'fps': 4.0,
        'source_fps': 8.0,
        'name': 'clip.mp4',
    }
    return VideoGrounding(**{**settings, **changes})


def judged():
    """In frame 2 the second phrase is judged absent; in frame 1 the model is not sure of the first."""
    found = grounding()
    existence = torch.full((5, 3), 0.9)
    existence[2, 1], existence[1, 0] = 0.2, 0.6
    frames = [replace(frame, existence=sure, exists=sure > 0.5) for frame, sure in zip(found, existence, strict=True)]
    return replace(found, frames=frames)


def test_results_of_all_frames_are_those_of_each():
    found = judged()
    expected = truth()
    expected[2, 1] = False

    assert len(found) == 5
    assert [frame.image.size for frame in found] == [(60, 40)] * 5
    assert torch.equal(found.masks, expected)
    assert torch.equal(found[2].masks, expected[2])
    assert torch.equal(found.scores, SCORES)
    assert found.phrases == PHRASES
    assert found.existence[:, 1].tolist() == pytest.approx([0.9, 0.9, 0.2, 0.9, 0.9])
    assert found.exists[:, 1].tolist() == [True, True, False, True, True]
    assert grounding().existence is grounding().exists is None


def test_a_dict_has_lists_over_time():
    document = json.loads(json.dumps(judged().to_dict(), allow_nan=False))
    rows = document.pop('phrases')

    names = ['00000', '00002', '00004', '00006', '00008']
    assert document == {'video': 'clip.mp4', 'width': 60, 'height': 40, 'fps': 4.0, 'frames': names}
    assert [row['phrase'] for row in rows] == PHRASES
    assert rows[0]['areas'] == [300] * 5
    assert rows[0]['bboxes'] == [[3 * frame, 5, 20, 15] for frame in range(5)]
    assert rows[1]['areas'] == [0, 450, None, 450, 450]
    assert rows[1]['exists'] == [True, True, False, True, True]
    assert rows[0]['scores'] == pytest.approx(SCORES[:, 0].tolist())
    for frame, rle in enumerate(rows[0]['segmentations']):
        np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), truth()[frame, 0])


def test_a_folder_of_masks_for_each_phrase(tmp_path):
    found = grounding()
    paths = found.save_png(tmp_path / 'masks')

    assert paths == [tmp_path / 'masks' / name for name in ('1_the red circle', '2_%2E.%2Fstar', '3_nothing')]
    for phrase, path in enumerate(paths):
        files = sorted(path.iterdir())
        assert [file.name for file in files] == ['00000.png', '00002.png', '00004.png', '00006.png', '00008.png']
        for frame, file in enumerate(files):
            with Image.open(file) as image:
                assert (image.format, image.mode) == ('PNG', '1')
                np.testing.assert_array_equal(np.asarray(image), truth()[frame, phrase])


def test_folders_of_an_earlier_call_are_not_mixed_with_new_ones(tmp_path):
    grounding().save_png(tmp_path)
    (tmp_path / '4_mine').mkdir()
    (tmp_path / '4_mine' / 'photo.jpg').write_bytes(b'mine')
    with pytest.raises(ValueError, match=r"has masks already, such as '1_the red circle'; choose another, or set ov"):
        grounding().save_png(tmp_path)

    fewer = grounding(frames=[frame_of_one(frame) for frame in grounding()])
    fewer.save_png(tmp_path, overwrite=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ['1_the red circle', '4_mine']
    assert (tmp_path / '4_mine' / 'photo.jpg').read_bytes() == b'mine'


def frame_of_one(frame):
    return replace(
        frame, phrases=PHRASES[:1], coarse=frame.coarse[[0]], refined=frame.refined[[0]], scores=frame.scores[:1]
    )


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match=r"folder '.*file' cannot be made \(.*Not a directory.*\); choose another"):
        grounding().save_png(tmp_path / 'file')


def test_an_overlay_moves(tmp_path):
    found = grounding()
    found.save_overlay(tmp_path / 'overlay.gif')

    with Image.open(tmp_path / 'overlay.gif') as gif:
        assert gif.n_frames == 5
        assert gif.size == found[0].overlay().size


class Given(VideoTracker):
    """A tracker that remembers what it is asked."""

    def __init__(self):
        super().__init__(model=tiny_video_sam())

    def track(self, frames, given, *, name):
        self.frames, self.given = frames, given
        return super().track(frames, given, name=name)


def test_the_best_frames_are_tracked():
    tracker, found = Given(), judged()
    tracked = found.tracked(tracker, num_key_frames=2)

    # Of the first phrase 0.7 * 0.6 in frame 1 is less than 0.5 * 0.9 in frame 0; the second has no mask in frames 0
    # and 2, where its scores are highest; of equal ones the first frames count.
    assert [sorted(masks) for masks in tracker.given] == [[0, 2], [1, 3], []]
    for phrase, masks in enumerate(tracker.given):
        for frame, mask in masks.items():
            assert torch.equal(mask, truth()[frame, phrase])
    assert [frame.size for frame in tracker.frames] == [(60, 40)] * 5
    expected = VideoTracker(model=tiny_video_sam()).track(tracker.frames, tracker.given)
    assert torch.equal(tracked.masks, expected.masks)
    assert tracked.masks[:, :2].flatten(2).any(dim=2).all()
    torch.testing.assert_close(tracked.existence, expected.seen)
    assert torch.equal(tracked.exists, expected.seen > 0.5)
    assert not tracked.exists[:, 2].any()
    torch.testing.assert_close(tracked.scores, torch.tensor([[0.6, 0.8, 0.0]]).expand(5, 3))
    assert (tracked.frame_names, tracked.fps) == (found.frame_names, 4.0)
    assert [frame.name for frame in tracked] == [f'clip.mp4/{name}' for name in found.frame_names]
    json.dumps(tracked.to_dict(), allow_nan=False)


def test_masks_are_carried_through_frames_that_were_not_read():
    tracker, found = Given(), judged()
    rng = np.random.default_rng(1)
    frames = [Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)) for _ in range(10)]

    tracked = found.tracked(tracker, frames=frames)

    assert tracker.frames is frames
    assert [list(masks) for masks in tracker.given] == [[4], [6], []]
    assert torch.equal(tracker.given[0][4], truth()[2, 0])
    assert torch.equal(tracked.masks, VideoTracker(model=tiny_video_sam()).track(frames, tracker.given).masks)
    assert tracked.frame_names == [f'{number:05}' for number in range(10)]
    assert (len(tracked), tracked.fps, tracked.indices) == (10, 8.0, list(range(10)))
    assert tracked[9].image is frames[9]
    with pytest.raises(
        ValueError, match=r"video 'clip\.mp4': mask of object 0 in frame 4: the video has frames 0 to 3"
    ):
        found.tracked(tracker, frames=frames[:4])
    with pytest.raises(ValueError, match=r"frames are of 9 x 7 px, but video 'clip\.mp4' was read with 60 x 40; give"):
        found.tracked(tracker, frames=[frame.resize((9, 7)) for frame in frames])
    with pytest.raises(ValueError, match='0 frames and 3 objects; give at least one of each'):
        found.tracked(tracker, frames=[])


def test_no_key_frame_is_refused():
    with pytest.raises(ValueError, match='num of best frames is 0, expected at least 1'):
        grounding().tracked(Given(), num_key_frames=0)
