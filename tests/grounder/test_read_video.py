"""A video that was read once: what is found is what the model finds in a ClipSample made by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clips import clip_transform, tiny_item
from tiny_families import build_grounder, build_wrapper
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm
from tiny_video_sam import tiny_video_sam

from flmm.clip_sample import ClipSample
from flmm.datasets import RefCOCO2PNG
from flmm.grounder import Grounder, read_video
from flmm.grounder.phrases import check_phrases
from flmm.grounder.read_video import names_of_files
from flmm.images import read_rgb
from flmm.models.sam.video_tracker import VideoTracker
from flmm.structures import GroundingSample
from flmm.video import Clip, FrameSampling, read_clip

pytestmark = pytest.mark.usefixtures('on_one_thread')

PHRASES = ['a cat', 'dog']
EXISTENCE = {'type': 'flmm.ExistenceHead', 'width': 8}


@pytest.fixture(scope='module')
def item(tmp_path_factory):
    """Four frames of noise."""
    return tiny_item(tmp_path_factory.mktemp('frames'), PHRASES, num_frames=4, truth=False)


@pytest.fixture(scope='module')
def grounder():
    return Grounder(model=tiny_grounder(existence=EXISTENCE), to_sample=clip_transform().to_sample)


def assert_alike(found, expected):
    """Compare a Grounding with a predicted sample."""
    assert found.phrases == expected.phrases
    torch.testing.assert_close(found.coarse.in_image(), expected.pred_masks, atol=3e-5, rtol=0)
    torch.testing.assert_close(found.refined.in_image(), expected.sam_pred_masks, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.scores, expected.sam_scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.existence, expected.existence, atol=1e-5, rtol=0)
    assert torch.equal(found.exists, expected.exists)


@pytest.mark.parametrize('num_frames', [4, 3, 1])
@pytest.mark.parametrize('read_as', ['video', 'images'])
def test_it_finds_what_the_model_finds_in_a_clip_made_by_hand(grounder, item, read_as, num_frames):
    own = {name: value[:num_frames] if name.startswith('frame_') else value for name, value in item.items()}
    transform = clip_transform(read_as=read_as)
    sampled = list(range(num_frames))
    if read_as == 'video' and num_frames == 3:  # ClipToSample reads an even number; here the last is given twice
        own = {
            **own,
            'frame_paths': [*own['frame_paths'], own['frame_paths'][-1]],
            'frame_names': [*map(str, range(4))],
        }
    (expected,) = grounder.model([transform.transform(own)], mode='predict')

    found = grounder.read_video(item['frame_paths'][:num_frames], read_as=read_as).ground(PHRASES)

    assert len(found) == num_frames
    assert found.frame_names == [f'{number:05}' for number in sampled]
    assert found.masks.shape == (num_frames, 2, 60, 90)
    for frame, sample in zip(found, expected.grounded[:num_frames], strict=True):
        assert_alike(frame, sample)
    assert [frame.name for frame in found] == [f'list of frames/{number:05}' for number in sampled]


def test_frames_read_as_images_are_grounded_as_images_are(grounder, item):
    found = grounder.read_video(item['frame_paths'], read_as='images').ground(PHRASES)

    for frame, path in zip(found, item['frame_paths'], strict=True):
        alone = grounder(path, PHRASES)
        torch.testing.assert_close(frame.refined.in_image(), alone.refined.in_image(), atol=1e-4, rtol=0)
        torch.testing.assert_close(frame.scores, alone.scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize('read_as', ['video', 'images'])
def test_what_is_asked_later_or_a_few_at_a_time_is_the_same(grounder, item, read_as, monkeypatch):
    read = grounder.read_video(item['frame_paths'], read_as=read_as)
    expected = read.ground(PHRASES)
    runs = []
    monkeypatch.setattr(read_video, 'FRAMES_AT_ONCE', 3)
    monkeypatch.setattr(read_video, 'MAPS_AT_ONCE', 1)
    monkeypatch.setattr(type(grounder.model.sam), 'encode_images', lambda *_: runs.append('SAM'))
    monkeypatch.setattr(type(grounder.model), 'image_features', lambda *_: runs.append('vision'))

    for order in ([1, 0], [1]):
        found = read.ground([PHRASES[index] for index in order])
        for frame, other in zip(found, expected, strict=True):
            for name in ('coarse', 'refined'):
                logits = getattr(other, name).in_image()[order]
                torch.testing.assert_close(getattr(frame, name).in_image(), logits, atol=1e-4, rtol=0)
    assert runs == []  # what was read is kept


def test_frames_are_called_as_their_files(grounder, item, tmp_path):
    for number, path in enumerate(item['frame_paths']):
        (tmp_path / f'shot {5 * number}.png').symlink_to(path)
    names = ['shot 0', 'shot 15']

    found = grounder.read_video([tmp_path / f'{name}.png' for name in names]).ground(['dog'])

    assert found.frame_names == names
    (folder,) = found.save_png(tmp_path / 'masks')
    assert sorted(path.name for path in folder.iterdir()) == ['shot 0.png', 'shot 15.png']


@pytest.mark.parametrize(
    ('video', 'names'),
    [
        ('clip.mp4', None),
        (['a/1.png', Path('b/2.jpg')], ['1', '2']),
        (['a/1.png', 'b/1.png'], None),
        (['a/1.png', Image.new('RGB', (4, 4))], None),
    ],
)
def test_names_tell_frames_apart(video, names):
    assert names_of_files(video) == names


def test_a_repeated_frame_has_masks_once(grounder):
    frames = torch.randint(0, 255, (4, 3, 60, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clip = Clip(frames=frames, indices=(0, 0, 2, 5), source_fps=4.0, num_source_frames=9, name='clip')

    read = grounder.read_video(clip)

    assert read.frame_names == ['00000', '00002', '00005']
    assert read.shown_in == [(0, 0), (0, 1), (0, 1)]
    for image, place in zip(read.frames, [0, 2, 3], strict=True):
        np.testing.assert_array_equal(np.asarray(image), frames[place].permute(1, 2, 0))


def test_a_phrase_sees_all_moments_of_a_video(grounder, item):
    frames = [read_rgb(path, name=path, orientation='refuse') for path in item['frame_paths']]
    changed = [*frames[:2], frames[2].rotate(180), frames[3].rotate(180)]

    difference = {}
    for read_as in ('video', 'images'):
        found, other = (grounder.read_video(each, read_as=read_as).ground(['dog']) for each in (frames, changed))
        difference[read_as] = float((found[0].coarse.in_image() - other[0].coarse.in_image()).abs().max())
    assert difference['images'] == 0
    assert difference['video'] > 1e-2  # what the phrase pays to the last moments is missing in the first


def test_a_file_is_read_as_its_frames_are(grounder, tmp_path):
    av = pytest.importorskip('av')
    rng = np.random.default_rng(0)
    with av.open(tmp_path / 'clip.mp4', 'w') as container:
        stream = container.add_stream('libx264', rate=4)
        stream.width, stream.height, stream.pix_fmt = 90, 60, 'yuv420p'
        for _ in range(8):
            pixels = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    clip = read_clip(tmp_path / 'clip.mp4', sampling=FrameSampling(nframes=4))

    found = grounder.read_video(tmp_path / 'clip.mp4', sampling=FrameSampling(nframes=4)).ground(['dog'])

    assert found.frame_names == [f'{index:05}' for index in clip.indices] == ['00000', '00002', '00005', '00007']
    assert (found.name, found.fps) == (str(tmp_path / 'clip.mp4'), 2.0)
    for frame, pixels in zip(found, clip.frames, strict=True):
        np.testing.assert_array_equal(np.asarray(frame.image), pixels.permute(1, 2, 0))
    for frame, other in zip(found, grounder.read_video(clip).ground(['dog']), strict=True):
        assert torch.equal(frame.refined.in_image(), other.refined.in_image())


def test_the_best_frames_are_tracked_through_the_others(grounder, item):
    found = grounder.read_video(item['frame_paths']).ground(PHRASES)
    tracker = VideoTracker(model=tiny_video_sam())

    tracked = found.tracked(tracker)

    best = (found.scores * found.existence * found.masks.flatten(2).any(dim=2)).argmax(dim=0).tolist()
    given = [{frame: found[frame].masks[phrase]} for phrase, frame in enumerate(best)]
    expected = tracker.track([frame.image for frame in found], given)
    assert torch.equal(tracked.masks, expected.masks)


def test_all_frames_of_a_list_keep_their_names_when_tracked(grounder, tmp_path):
    paths = []
    for number, name in enumerate('abcdef'):
        pixels = np.random.default_rng(number).integers(0, 255, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{name}.png')
        paths.append(tmp_path / f'{name}.png')
    found = grounder.read_video(paths, sampling=FrameSampling(nframes=2), read_as='images').ground(['dog'])
    assert found.frame_names == ['a', 'f']
    tracker, frames = VideoTracker(model=tiny_video_sam()), [Image.open(path) for path in paths]
    assert found.tracked(tracker, frames=frames).frame_names == list('abcdef')
    with pytest.raises(ValueError, match="frames are 7, but video 'list of frames' has 6; give all of them"):
        found.tracked(tracker, frames=[*frames, frames[0]])


def test_a_family_without_video_reads_images(item):
    model = build_grounder('llava')
    to_sample = RefCOCO2PNG(image_processor=build_wrapper('llava'), prompt='Look.')
    grounder = Grounder(model=model, to_sample=to_sample)

    with pytest.raises(ValueError, match=r"reads 'list of frames' as no video; .*read_as='images'"):
        grounder.read_video(item['frame_paths'])
    found = grounder.read_video(item['frame_paths'][:2], read_as='images').ground(['dog'])
    assert found.masks.shape == (2, 1, 60, 90)
    assert found.existence is None


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'read_as': 'text'}, "read_as is 'text', expected one of ('video', 'images')"),
        ({'fps': 0}, "video 'list of frames': fps is 0"),
        ({'sampling': FrameSampling(nframes=40)}, "video 'list of frames': nframes is 40"),
    ],
)
def test_what_cannot_be_read_is_refused(grounder, item, settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        grounder.read_video(item['frame_paths'], **settings)


def test_a_clip_is_sampled_already(grounder, item):
    clip = read_clip(item['frame_paths'])
    with pytest.raises(ValueError, match='video is a clip, whose frames are chosen already; leave sampling and fps'):
        grounder.read_video(clip, fps=3.0)


@pytest.mark.parametrize(
    ('phrases', 'message'),
    [
        ('dog', "video 'a.mp4' has the string 'dog' for phrases; give a list of strings"),
        (7, "video 'a.mp4' has 7 for phrases; give a list of strings"),
        ([], "video 'a.mp4' has no phrase; give a list of strings"),
    ],
)
def test_phrases_are_a_list(phrases, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_phrases(phrases, asked="video 'a.mp4'")


def test_the_words_of_an_answer_about_a_video_are_grounded_as_they_stand(grounder, item):
    """As the model finds them in a clip whose sequence is the whole conversation, written down by hand."""
    read = grounder.read_video(item['frame_paths'], fps=item['fps'])
    answer = read.given_answer('Who runs?', 'the cat and a dog')
    found = answer.ground([(0, 7), (12, 17)])
    assert found.phrases == ['the cat', 'a dog']
    clip = read_clip(item['frame_paths'], fps=item['fps'])
    processor = grounder.to_sample.image_processor
    processed = processor.preprocess_video(clip, prompt='Who runs?')
    ids = processor.encode_text(answer.text)
    numbers = '000-000-----1-111'  # a token is a byte; blanks say nothing
    mask_ids = torch.tensor([-1 if number == '-' else int(number) for number in numbers])
    sequence = GroundingSample(
        input_ids=torch.cat([processed.input_ids, torch.tensor(ids)]),
        mask_ids=torch.cat([torch.full_like(processed.input_ids, -1), mask_ids]),
        lmm_inputs=processed.lmm_inputs,
        views=processed.views,
        phrases=['the cat', 'a dog'],
        masks=None,
        gt_masks=None,
        image=read.frames[0],
        image_path='video',
        prompt_length=len(processed.input_ids),
        is_video=True,
    )
    by_hand = ClipSample(
        sequences=[sequence],
        frames=read.frames,
        shown_in=read.shown_in,
        frame_names=read.frame_names,
        video_path='video',
    )
    (expected,) = grounder.model([by_hand], mode='predict')
    for frame, sample in zip(found, expected.grounded, strict=True):
        torch.testing.assert_close(frame.coarse.in_image(), sample.pred_masks, atol=1e-4, rtol=1e-4)


def test_an_answer_about_a_video_is_what_the_stock_model_says(grounder, item):
    read = grounder.read_video(item['frame_paths'], fps=item['fps'])
    answer = read.chat('Who runs?', max_new_tokens=6)
    clip = read_clip(item['frame_paths'], fps=item['fps'])
    processed = grounder.to_sample.image_processor.preprocess_video(clip, prompt='Who runs?')
    lmm = tiny_lmm()
    expected = lmm.generate(
        input_ids=processed.input_ids[None],
        **processed.lmm_inputs,
        mm_token_type_ids=2 * (processed.input_ids == lmm.config.video_token_id).int()[None],
        max_new_tokens=6,
        do_sample=False,
    )
    made = expected[0, len(processed.input_ids) :]
    ends = [i for i, token in enumerate(made.tolist()) if token in grounder.ends_of_turn]
    assert answer.token_ids.tolist() == made.tolist()[: ends[0] if ends else None]
    assert answer.chat('And then?', max_new_tokens=2).prompt_ids[: len(answer.prompt_ids)].equal(answer.prompt_ids)


def test_frames_that_are_read_as_images_are_no_video_to_talk_about(grounder, item):
    read = grounder.read_video(item['frame_paths'], fps=item['fps'], read_as='images')
    with pytest.raises(ValueError, match=r"read as single images, .*; read it with read_as='video'"):
        read.chat('Who runs?')
