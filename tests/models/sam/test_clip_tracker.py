"""A model with a tracker: its clips against best frames chosen and tracked by hand, and all else as without."""

import copy
import re
import sys

import numpy as np
import pytest
import torch
from tiny_clips import tiny_clip
from tiny_grounder import tiny_grounder
from tiny_hf_sams import tiny_hf_sam
from tiny_samples import tiny_sample
from tiny_video_sam import tiny_video_sam
from torch import nn

from flmm.evaluation import DumpPredictions, DumpVideoMasks, VideoMetric
from flmm.mask_logits import MaskLogits
from flmm.models.finite import NonFiniteError
from flmm.models.sam import ClipTracker
from flmm.models.sam.video_tracker import VideoTracker
from flmm.phrase_info import PhraseInfo
from flmm.scoring.predictions_file import read_predictions
from flmm.visualization import sample_page

pytestmark = pytest.mark.usefixtures('on_one_thread')

PHRASES = ['a cat', 'the red one', 'b']
EXISTENCE = {'type': 'ExistenceHead'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('video_sam')
    tiny_video_sam().save_pretrained(path)
    return str(path)


def predicted(clip, *, absent=0.5, **settings):
    """A clip with masks; a model that judges existence finds a share of the phrases absent."""
    model = tiny_grounder(**settings).eval()
    if model.existence_head is not None:
        model.existence_head.threshold.copy_(model.judge([clip])[0].quantile(absent, interpolation='higher'))
    (found,) = model([clip], mode='predict')
    return found


def by_hand(clip, *, num):
    """What the tracker makes of the best frames of a clip that is grounded, and the best scores of these, [M]."""
    given, highest = [], []
    for phrase in range(clip.num_masks):
        masks = [frame.refined_masks[phrase] for frame in clip.grounded]
        scores = [float(frame.sam_scores[phrase]) for frame in clip.grounded]
        sure = [1.0 if frame.existence is None else float(frame.existence[phrase]) for frame in clip.grounded]
        usable = [number for number, mask in enumerate(masks) if mask.any()]
        best = sorted(usable, key=lambda number: -scores[number] * sure[number])[:num]
        given.append({number: masks[number] for number in best})
        highest.append(max([scores[number] for number in best], default=0.0))
    return VideoTracker(model=tiny_video_sam()).track(clip.frames, given), highest


@pytest.mark.parametrize(('existence', 'num'), [(None, 1), (EXISTENCE, 2)], ids=['not judged', 'judged'])
def test_the_best_frames_of_a_clip_are_tracked(tmp_path, folder, existence, num):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=4)
    untracked = predicted(clip, existence=existence)
    found = predicted(clip, existence=existence, tracker={'name_or_path': folder, 'num_key_frames': num})
    expected, scores = by_hand(untracked, num=num)

    assert torch.equal(torch.stack([frame.refined_masks for frame in found.grounded]), expected.masks)
    assert expected.masks.flatten(2).any(dim=2).any(dim=0).sum() > 1  # or the comparison would say little
    assert not torch.equal(torch.stack([frame.refined_masks for frame in untracked.grounded]), expected.masks)
    for number, (frame, before) in enumerate(zip(found.grounded, untracked.grounded, strict=True)):
        assert torch.equal(frame.coarse.in_image(), before.coarse.in_image())
        assert torch.equal(frame.coarse_masks, before.coarse_masks)
        torch.testing.assert_close(frame.existence, expected.seen[number], rtol=0, atol=1e-6)
        assert torch.equal(frame.exists, expected.seen[number] > 0.5)
        torch.testing.assert_close(frame.sam_scores, torch.tensor(scores))
        assert (frame.verdict('coarse') is None) == (existence is None)
        assert existence is None or torch.equal(frame.verdict('coarse'), before.exists)


def test_a_verdict_may_leave_nothing_to_track(tmp_path, folder):
    model = tiny_grounder(existence=EXISTENCE, tracker={'name_or_path': folder}).eval()
    model.existence_head.threshold.fill_(2.0)
    (found,) = model([tiny_clip(tmp_path, PHRASES, num_frames=3)], mode='predict')
    for frame in found.grounded:
        assert not frame.refined_masks.any()
        assert frame.existence.tolist() == frame.sam_scores.tolist() == [0.0] * 3
        assert not frame.exists.any()


def test_images_losses_and_tensors_are_as_without(tmp_path, folder):
    plain, model = tiny_grounder(), tiny_grounder(tracker={'name_or_path': folder})
    model.tracker.video_tracker = None  # would fail
    clip, sample = tiny_clip(tmp_path, PHRASES, num_frames=2), tiny_sample(['cat'])
    (expected,), (found,) = plain.eval()([sample], mode='predict'), model.eval()([sample], mode='predict')
    assert torch.equal(found.sam_pred_masks, expected.sam_pred_masks)
    assert not found.tracked
    (expected,), (found,) = plain([clip]), model([clip])
    for frame, other in zip(found.grounded, expected.grounded, strict=True):
        assert torch.equal(frame.sam_pred_masks, other.sam_pred_masks)
        assert frame.features is not None
    assert model.train()([sample, clip], mode='loss') == plain.train()([sample, clip], mode='loss')


def test_the_tracker_is_frozen_and_belongs_to_no_checkpoint(folder):
    plain, model = tiny_grounder(), tiny_grounder(seed=1, tracker={'name_or_path': folder})
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert model.frozen_parts().keys() == plain.frozen_parts().keys()
    model.load_state_dict(plain.state_dict())
    tiny_grounder(seed=2).load_state_dict(model.state_dict())

    sam = model.tracker.video_tracker.model
    own = {id(parameter) for parameter in sam.parameters()}
    assert own <= {id(parameter) for parameter in model.parameters()}
    assert not any(parameter.requires_grad for parameter in sam.parameters())
    assert not any(module.training for module in model.train().tracker.modules())
    assert copy.deepcopy(model).tracker is model.tracker
    model.to('meta')
    assert sam.device.type == 'meta'


class OwnTracker(nn.Module):
    """What another package may give."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, images, frames):
        return [frame.with_outputs(tracked=True) for frame in frames]


def test_a_tracker_that_is_given_is_frozen_too(tmp_path):
    model = tiny_grounder(tracker=OwnTracker())
    assert not any(parameter.requires_grad for parameter in model.tracker.parameters())
    assert not any(module.training for module in model.train().tracker.modules())
    assert model.state_dict().keys() == tiny_grounder().state_dict().keys()
    (found,) = model.eval()([tiny_clip(tmp_path, PHRASES, num_frames=2)], mode='predict')
    assert all(frame.tracked for frame in found.grounded)


def test_frames_without_masks_are_named(tmp_path, folder):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=2)
    frames = list(tiny_grounder().eval().predict_frames(clip))
    frames[1] = frames[1].with_outputs(refined=None)
    with pytest.raises(ValueError, match=f'frame {frames[1].image_path!r} has no refined masks to track'):
        ClipTracker(name_or_path=folder)(clip.frames, frames)


def test_a_tracker_of_numbers_that_are_not_finite_is_named(tmp_path, folder):
    model = tiny_grounder(tracker={'name_or_path': folder}).eval()
    with torch.no_grad():
        for name, parameter in model.tracker.named_parameters():
            if 'mask_decoder' in name:
                parameter.fill_(torch.nan)
    clip = tiny_clip(tmp_path, PHRASES, num_frames=3)
    with pytest.raises(NonFiniteError, match=rf"image '{re.escape(clip.video_path)}, frame \d': SAM 2's tracker gave"):
        model([clip], mode='predict')


def test_frames_of_another_size_name_their_clip(tmp_path, folder):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=2)
    frames = list(tiny_grounder().eval().predict_frames(clip))
    images = [clip.frames[0], clip.frames[1].resize((9, 7))]
    with pytest.raises(ValueError, match=rf'video {re.escape(repr(clip.video_path))}: frame 1 is 9x7 px, expected'):
        ClipTracker(name_or_path=folder)(images, frames)


def test_masks_that_vanish_for_sam_2_are_not_tracked(tmp_path, folder):
    clip = tiny_clip(tmp_path, ['a cat', 'b'], num_frames=3)
    tracker = ClipTracker(name_or_path=folder)
    masks = torch.zeros(3, 2, 600, 900, dtype=torch.bool)  # 64 px of SAM's square each way
    masks[:, 0, 300:304, 455:459] = masks[0, 1, 300:304, 455:459] = True
    masks[2, 1, 200:400, 300:600] = True
    scores = torch.tensor([[0.9, 0.9], [0.8, 0.8], [0.7, 0.5]])
    frames = [
        frame.with_outputs(refined=MaskLogits.from_image(each.float() * 2 - 1), sam_scores=score)
        for frame, each, score in zip(tiny_grounder().eval().predict_frames(clip), masks, scores, strict=True)
    ]
    images = [image.resize((900, 600)) for image in clip.frames]
    found = tracker(images, frames)
    expected = tracker.video_tracker.track(images, [{}, {2: masks[2, 1]}])
    for number, frame in enumerate(found):
        assert torch.equal(frame.refined.masks(), expected.logits[number].masks())
        assert frame.sam_scores.tolist() == [0.0, 0.5]
        assert not frame.exists[0]


def test_it_tracks_in_float32_under_amp(tmp_path, folder):
    (found,) = tiny_grounder()([tiny_clip(tmp_path, PHRASES, num_frames=3)], mode='predict')
    tracker = ClipTracker(name_or_path=folder)
    expected = tracker(found.frames, found.grounded)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        under_amp = tracker(found.frames, found.grounded)
    for frame, other in zip(under_amp, expected, strict=True):
        assert torch.equal(frame.refined.small, other.refined.small)
        assert frame.refined.small.dtype == torch.float32


def test_coarse_figures_stay_and_refined_ones_are_the_trackers(tmp_path, folder):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=4)
    for sequence in clip.sequences:
        sequence.phrase_infos = [PhraseInfo(expression_id=str(number)) for number in range(3)]
    untracked, found = (
        predicted(clip, absent=1.0, existence=EXISTENCE, tracker=each) for each in (None, {'name_or_path': folder})
    )
    tracks, _ = by_hand(untracked, num=1)
    by_masks = untracked.with_outputs(
        grounded=[
            frame.with_outputs(refined=refined, existence=None, exists=None)
            for frame, refined in zip(untracked.grounded, tracks.logits, strict=True)
        ]
    )
    figures = []
    for each in (untracked, found, by_masks):
        metric = VideoMetric()
        metric.process({}, [each])
        figures.append(metric.evaluate(size=1))
    before, after, expected = figures
    for name, value in after.items():
        assert value == pytest.approx((before if '/coarse/' in name else expected)[name], abs=1e-9), name
    assert before['dataset/refined/J&F'] != after['dataset/refined/J&F']

    dump = DumpVideoMasks(out_dir=str(tmp_path / 'masks'))
    dump.process({}, [found])
    assert len(list((tmp_path / 'masks').rglob('*.png'))) == 4 * 3
    (page, other) = (sample_page(each) for each in (found, untracked))
    for row, plain_row in zip(page.rows, other.rows, strict=True):
        assert np.array_equal(row.masks['coarse'], plain_row.masks['coarse'])
        assert ('coarse' in row.absent) == ('coarse' in plain_row.absent)


def test_lines_of_tracked_frames_have_a_verdict_for_each_mask(tmp_path, folder):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=5)
    found = predicted(clip, existence=EXISTENCE, absent=1.0, tracker={'name_or_path': folder})
    dump = DumpPredictions(out_file_path=str(tmp_path / 'found.jsonl'))
    dump.process({}, [found])
    dump.evaluate(size=1)
    lines = iter(read_predictions(tmp_path / 'found.jsonl'))
    differing = 0
    for frame in found.grounded:
        for index in range(3):
            line = next(lines)
            for source in ('coarse', 'refined'):
                mask = getattr(frame, f'{source}_masks')[index]
                assert line.says_absent(source) == (not mask.any())
            differing += bool(frame.exists[index] != frame.coarse_exists[index])
    assert differing > 0  # which a line with one verdict could not say


def test_what_cannot_be_loaded_is_refused(tmp_path, folder, monkeypatch):
    absent = str(tmp_path / 'absent')
    message = f"tracker.name_or_path is {absent!r}, expected transformers' SAM 2 for video, such as .*does not exist"
    with pytest.raises(ValueError, match=message):
        tiny_grounder(tracker={'name_or_path': absent})
    tiny_hf_sam('sam2').save_pretrained(tmp_path / 'image')
    with pytest.raises(ValueError, match=r'tracker.name_or_path is .*holds a Sam2Model, expected a Sam2VideoModel'):
        tiny_grounder(tracker={'name_or_path': str(tmp_path / 'image')})
    with pytest.raises(ValueError, match=re.escape('model.tracker.num_key_frames is 0, expected an int of 1 or more')):
        tiny_grounder(tracker={'name_or_path': folder, 'num_key_frames': 0})
    for num in (1.0, '2', True):
        message = f'model.tracker.num_key_frames is {num!r}, expected an int of 1 or more'
        with pytest.raises(ValueError, match=re.escape(message)):
            tiny_grounder(tracker={'name_or_path': folder, 'num_key_frames': num})
    for other in (folder, False, 3):
        message = f"model.tracker is {other!r}, expected dict(name_or_path='facebook/sam2.1-hiera-large'), or None"
        with pytest.raises(ValueError, match=re.escape(message)):
            tiny_grounder(tracker=other)
    for settings in ({}, {'type': 'ClipTracker', 'num_key_frames': 2}, {'name_or_path': None}):
        with pytest.raises(ValueError, match=r'model\.tracker\.name_or_path is None, expected a folder or a name on'):
            tiny_grounder(tracker=settings)
    monkeypatch.setitem(sys.modules, 'flmm.models.sam.video_tracker', None)  # as if transformers lacked the model
    with pytest.raises(ValueError, match=r'tracker.name_or_path is .*without tracker, masks of a frame stay'):
        tiny_grounder(tracker={'name_or_path': folder})
