"""The tracker against a plain loop over transformers' own session, one object in each."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_hf_sams import tiny_hf_sam
from tiny_video_sam import tiny_video_sam
from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

from flmm.models.finite import NonFiniteError
from flmm.models.sam.video_session import ObjectSession
from flmm.models.sam.video_tracker import VideoTracker

pytestmark = pytest.mark.usefixtures('on_one_thread')

SIZE = (48, 80)
SIDE = {'height': 64, 'width': 64}


def make_frames(num=14):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)) for _ in range(num)]


def box(left, top, right, bottom):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


FRAMES = make_frames()
OBJECTS = [{0: box(4, 4, 30, 30)}, {9: box(20, 10, 50, 30), 5: box(30, 20, 70, 40)}, {13: box(50, 5, 70, 30)}, {}]


def stock(model, frames, masks):
    """Masks [F, IH, IW] and object scores [F] of transformers' session of one object."""
    processor = Sam2VideoProcessor(
        image_processor=Sam2ImageProcessor(size=SIDE), video_processor=Sam2VideoVideoProcessor(size=SIDE)
    )
    session = processor.init_video_session(video=frames)
    for frame, mask in sorted(masks.items()):
        processor.add_inputs_to_inference_session(session, frame_idx=frame, obj_ids=1, input_masks=mask)
        model(session, frame_idx=frame)
    outputs = [
        *model.propagate_in_video_iterator(session),
        *model.propagate_in_video_iterator(session, start_frame_idx=min(masks), reverse=True),
    ]
    assert {output.frame_idx for output in outputs} == set(range(len(frames)))
    found, scores = torch.zeros(len(frames), *SIZE, dtype=torch.bool), torch.zeros(len(frames))
    for output in outputs:
        found[output.frame_idx] = processor.post_process_masks([output.pred_masks], [list(SIZE)])[0][0, 0]
        scores[output.frame_idx] = output.object_score_logits.sigmoid()
    return found, scores


def test_each_object_is_tracked_as_if_alone_in_a_stock_session():
    model = tiny_video_sam()

    tracks = VideoTracker(model=model).track(FRAMES, OBJECTS)

    found = tracks.masks
    assert found.shape == (14, 4, *SIZE)
    for index, masks in enumerate(OBJECTS[:3]):
        expected, seen = stock(model, FRAMES, masks)
        assert torch.equal(found[:, index], expected)
        torch.testing.assert_close(tracks.seen[:, index], seen, rtol=0, atol=1e-6)
        areas = expected.sum((1, 2)).tolist()
        assert len(set(areas)) > 10  # or the comparison would say little
    assert not found[:, 3].any()
    assert tracks.seen[:, 3].tolist() == [0.0] * 14


def test_a_given_mask_stays_and_its_object_is_seen():
    tracks = VideoTracker(model=tiny_video_sam()).track(FRAMES, OBJECTS)

    for index, masks in enumerate(OBJECTS):
        for frame, mask in masks.items():
            found = tracks.logits[frame].masks()[index]
            iou = (found & mask).sum() / (found | mask).sum()
            assert iou > 0.8  # on SAM's grid of 16 x 16 cells
            assert tracks.seen[frame, index] == pytest.approx(1 / (1 + np.exp(-10)))


def test_memory_is_bounded_and_features_are_shared(monkeypatch):
    """What a long video would fill the memory with: pixels, masks of L x L px, and memories that are read no more."""
    kept, encoded, asked = [], [], []
    step = ObjectSession.step

    def counting(session, frame, *, reverse=False):
        found = step(session, frame, reverse=reverse)
        kept.append(len(session.output_dict_per_obj[0]['non_cond_frame_outputs']))
        assert session.processed_frames is None
        for outputs in session.output_dict_per_obj[0].values():
            assert not any('high_res_masks' in output for output in outputs.values())
        return found

    class Frames(list):
        def __getitem__(self, frame):
            asked.append(frame)
            return super().__getitem__(frame)

    monkeypatch.setattr(ObjectSession, 'step', counting)
    model = tiny_video_sam()
    model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    frames = Frames(make_frames(30))

    VideoTracker(model=model).track(frames, [{10: box(4, 4, 30, 30)}, {10: box(20, 10, 50, 30)}, {12: OBJECTS[0][0]}])

    # The last four frames forward, and three behind the given one for the way back, where that is the fourth.
    assert max(kept) == 7
    # Both given frames, each frame behind the first of them, and each before the last: once for all objects.
    assert len(encoded) == 2 + 19 + 12
    assert asked[1:] == [10, 12, *range(11, 30), *reversed(range(12))]  # the first tells the size


@pytest.mark.parametrize(
    ('frames', 'given', 'message'),
    [
        ([], [{}], '0 frames and 1 objects; give at least one of each'),
        (FRAMES, [], '14 frames and 0 objects; give at least one of each'),
        (FRAMES, [{}, {14: box(1, 1, 9, 9)}], 'mask of object 1 in frame 14: the video has frames 0 to 13'),
        (FRAMES, [{2: box(1, 1, 9, 9)[:40]}], 'object 0 in frame 2 is torch.bool (40, 80), expected bool (48, 80)'),
        (FRAMES, [{2: box(1, 1, 9, 9).float()}], 'frame 2 is torch.float32 (48, 80), expected bool (48, 80)'),
        (
            FRAMES,
            [{2: box(1, 1, 1, 9)}],
            'mask of object 0 in frame 2 has 0 px, of which SAM 2 leaves none on its grid of 16x16 cells; leave it out',
        ),
        (
            [*FRAMES[:3], FRAMES[0].resize((40, 48))],
            [{0: box(1, 1, 9, 9)}],
            'frame 3 is 40x48 px, expected 80x48 as frame 0',
        ),
    ],
)
def test_what_does_not_fit_is_refused(frames, given, message):
    with pytest.raises(ValueError, match=f"^video 'a.mp4': .*{re.escape(message)}"):
        VideoTracker(model=tiny_video_sam()).track(frames, given, name='a.mp4')


def test_a_mask_that_vanishes_for_sam_2_is_not_kept():
    tracker = VideoTracker(model=tiny_video_sam())
    masks = torch.zeros(4, 600, 900, dtype=torch.bool)
    masks[0, 300:304, 455:459] = True  # 0.4 x 0.3 px of SAM's square
    masks[1, 300:330, 450:500] = True  # 3.2 x 3.6 px of it, less than a cell of the grid
    masks[2, 300:360, 450:550] = True
    session = tracker.processor.init_video_session(video=[Image.new('RGB', (900, 600))])
    counts = []
    for mask in masks:
        tracker.processor.add_inputs_to_inference_session(session, frame_idx=0, obj_ids=1, input_masks=mask)
        counts.append(int(session.mask_inputs_per_obj[0][0].sum()))
    assert counts[0] == counts[3] == 0 < counts[1] < counts[2]
    assert tracker.keeps(masks).tolist() == [False, False, True, False]
    for mask in masks[:2]:
        message = f'object 1 in frame 0 has {int(mask.sum())} px, of which SAM 2 leaves none on its grid of 16x16 cells'
        with pytest.raises(ValueError, match=message):
            tracker.track([Image.new('RGB', (900, 600))], [{0: masks[2]}, {0: mask}])


@pytest.mark.parametrize('size', [(48, 80), (13, 17), (150, 90)])  # of more px than the grid, of fewer, than the square
def test_a_mask_is_kept_exactly_if_sam_2_leaves_a_pixel_of_it_in_its_frame(size):
    """One on the square of 64 x 64 px may have none on the grid of 16 x 16 cells, or between those of a small frame."""
    tracker = VideoTracker(model=tiny_video_sam())
    frame = Image.new('RGB', size[::-1])
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(40, *size, dtype=torch.bool)
    for number, mask in enumerate(masks):
        top, left = (int(torch.randint(side - 2, (), generator=generator)) for side in size)
        mask[top : top + 1 + number // 8 * size[0] // 24, left : left + 1 + number % 8 * size[1] // 40] = True
    expected, on_square = [], []
    for mask in masks:
        session = tracker.processor.init_video_session(video=[frame])
        tracker.processor.add_inputs_to_inference_session(session, frame_idx=0, obj_ids=1, input_masks=mask)
        on_square.append(bool(session.mask_inputs_per_obj[0][0].any()))
        with torch.inference_mode():
            (found,) = tracker.processor.post_process_masks(
                [tracker.model(session, frame_idx=0).pred_masks], original_sizes=[size], binarize=True
            )
        expected.append(bool(found.any()))
    assert tracker.keeps(masks).tolist() == expected
    assert 5 < sum(expected) < sum(on_square)  # so that each answer is asked for
    kept = [{0: mask} for mask, is_kept in zip(masks, expected, strict=True) if is_kept]
    assert tracker.track([frame], kept).masks.flatten(2).any(dim=2).all()


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
@pytest.mark.parametrize(
    'parameter', ['mask_decoder.upscale_conv2.bias', 'mask_decoder.pred_obj_score_head.proj_out.bias']
)
def test_numbers_that_are_not_finite_are_no_masks(parameter, value):
    """SAM 2 itself takes an object score of nan to be that of an object that is not there."""
    model = tiny_video_sam()
    with torch.no_grad():
        model.get_parameter(parameter)[:] = value
    # The decoder makes no masks of the frame that is given.
    with pytest.raises(NonFiniteError, match=r"image 'a.mp4, frame 2': SAM 2's tracker gave \d+ of \d+ numbers"):
        VideoTracker(model=model).track(FRAMES[:4], [{}, {1: box(4, 4, 30, 30)}], name='a.mp4')


def test_a_folder_is_loaded_whole(tmp_path):
    model = tiny_video_sam(seed=3)
    model.save_pretrained(tmp_path)

    tracker = VideoTracker.from_pretrained(tmp_path)

    assert {parameter.dtype for parameter in tracker.model.parameters()} == {torch.float32}
    expected = VideoTracker(model=model).track(FRAMES[:4], OBJECTS[:1])
    assert torch.equal(tracker.track(FRAMES[:4], OBJECTS[:1]).masks, expected.masks)

    weights = load_file(tmp_path / 'model.safetensors')
    del weights['no_object_pointer']
    save_file(weights, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=r'does not fit Sam2VideoModel: .*no_object_pointer'):
        VideoTracker.from_pretrained(tmp_path)


def test_another_model_is_refused(tmp_path):
    tiny_hf_sam('sam2').save_pretrained(tmp_path)
    message = f'{str(tmp_path)!r} holds a Sam2Model, expected a Sam2VideoModel'

    with pytest.raises(ValueError, match=re.escape(message)):
        VideoTracker.from_pretrained(tmp_path)
