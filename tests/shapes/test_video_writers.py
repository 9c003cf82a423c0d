"""Videos on disk: the layout of Ref-YouTube-VOS, field by field; conversations about them; built once."""

import json
import re

import numpy as np
import pytest
from moving_shapes import step_of
from PIL import Image

from flmm.finetune import ChatDataset
from flmm.shapes import build_dataset, build_video_dataset, generate_video, video_config

SEED = 3
NUM_VIDEOS = {'train': 6, 'val': 3}
PLACE = r'(?:<x(\d+)><y(\d+)>|(-))'
CONVERSATIONS = 7
"""Of each of these training videos: of its motions, of its sentences, of each of four moments, and of a frame."""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('videos') / 'shapes'
    counts = build_video_dataset(root, num_videos=NUM_VIDEOS, seed=SEED, fps=3.0)
    assert {split: sum(kinds.values()) for split, kinds in counts.items()} == {
        split: sum(len(sample.sentences) for sample in drawn(split)) for split in NUM_VIDEOS
    }
    return root


def drawn(split):
    config = video_config('medium', fps=3.0)
    return [generate_video(i, seed=SEED, split=split, config=config) for i in range(NUM_VIDEOS[split])]


def read_json(path):
    return json.loads(path.read_text())


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


def test_expressions_have_the_fields_of_ref_youtube_vos_and_kinds(root):
    for split in NUM_VIDEOS:
        content = read_json(root / 'meta_expressions' / split / 'meta_expressions.json')
        assert content == {
            'videos': {
                sample.video_id: {
                    'expressions': {
                        str(number): {'exp': each.text, 'obj_id': str(each.shape_index + 1), 'kind': each.kind}
                        for number, each in enumerate(sample.sentences)
                    },
                    'frames': [f'{frame:05d}' for frame in range(8)],
                    'fps': 3.0,
                }
                for sample in drawn(split)
            }
        }


def test_palettes_are_the_masks_and_frames_the_pictures(root):
    for split in NUM_VIDEOS:
        objects = read_json(root / split / 'meta.json')['videos']
        for sample in drawn(split):
            for frame, (pixels, masks) in enumerate(zip(sample.frames, sample.masks, strict=True)):
                name = f'{sample.video_id}/{frame:05d}'
                with Image.open(root / split / 'Annotations' / f'{name}.png') as picture:
                    assert picture.mode == 'P'
                    palette = np.asarray(picture)
                    background = picture.getpalette()[:3]
                assert background == [0, 0, 0]
                assert np.array_equal(np.stack([palette == i + 1 for i in range(len(masks))]), masks)
                assert np.array_equal(palette == 0, ~masks.any(axis=0))
                with Image.open(root / split / 'JPEGImages' / f'{name}.jpg') as picture:
                    assert np.abs(np.asarray(picture).astype(int) - pixels).mean() < 3
                for i, mask in enumerate(masks):
                    seen = objects[sample.video_id]['objects'][str(i + 1)]
                    assert seen['category'] == sample.video.start.shapes[i].kind
                    assert (f'{frame:05d}' in seen['frames']) == mask.any()


def unit_of(masks):
    """The unit of 28 px that holds the middle of the units of masks [T, H, W], each weighted by what they cover."""
    total = x = y = 0.0
    for mask in masks:
        for row in range(mask.shape[0] // 28):
            for column in range(mask.shape[1] // 28):
                share = mask[28 * row : 28 * row + 28, 28 * column : 28 * column + 28].mean()
                total, x, y = total + share, x + share * (column + 0.5), y + share * (row + 0.5)
    return None if total == 0 else (int(x / total), int(y / total))


def test_conversations_say_where_shapes_are(root):
    lines = [json.loads(line) for line in (root / 'chat.jsonl').read_text().splitlines()]
    samples = drawn('train')
    assert len(lines) == CONVERSATIONS * len(samples)
    unseen = 0
    for sample, about_video, about_frame in zip(samples, lines[1::CONVERSATIONS], lines[6::CONVERSATIONS], strict=True):
        (video, prompt), (answer,) = (message['content'] for message in about_video['messages'])
        folder = f'train/JPEGImages/{sample.video_id}'
        assert video == {
            'type': 'video',
            'video': [f'{folder}/{frame:05d}.jpg' for frame in range(8)],
            'sample_fps': 3.0,
            'min_pixels': 56 * 56,
        }
        assert prompt == {'type': 'text', 'text': 'Locate the shapes.'}
        for said, sentence in zip(answer['text'].split('.'), sample.sentences, strict=True):
            text, places = re.fullmatch(r'([a-z ]+)(.*)', said).groups()
            assert text == sentence.text
            found = [None if gone else (int(x), int(y)) for x, y, gone in re.findall(PLACE, places)]
            masks = sample.masks[:, sentence.shape_index]
            assert found == [unit_of(masks[start : start + 2]) for start in (0, 2, 4, 6)]
            assert re.sub(PLACE, '', places) == ''
            unseen += found.count(None)
        (image, _), (answer,) = (message['content'] for message in about_frame['messages'])
        frame = sample.frame_sentences.frame
        assert image == {'type': 'image', 'image': f'{folder}/{frame:05d}.jpg'}
        said = [re.fullmatch(rf'([a-z ]+){PLACE}', each).groups()[:3] for each in answer['text'].split('.')]
        assert [(text, (int(x), int(y))) for text, x, y in said] == [
            (sentence.text, unit_of(sample.masks[frame, index][None]))
            for index, sentence in sample.frame_sentences.sentences
        ]
    assert unseen > 0


def test_conversations_say_how_shapes_move(root):
    lines = [json.loads(line) for line in (root / 'chat.jsonl').read_text().splitlines()]
    words = set()
    for sample, about_motion in zip(drawn('train'), lines[::CONVERSATIONS], strict=True):
        (_, prompt), (answer,) = (message['content'] for message in about_motion['messages'])
        assert prompt == {'type': 'text', 'text': 'Describe the shapes.'}
        expected = []
        for index, (shape, motion) in enumerate(zip(sample.video.start.shapes, sample.video.motions, strict=True)):
            if not sample.masks[:, index].any():
                continue
            said = ''
            for start in (0, 2, 4, 6):
                unit = unit_of(sample.masks[start : start + 2, index])
                word = step_of(sample, index, start)
                assert word in ('still', motion.direction)
                said += '-' if unit is None else f'<x{unit[0]}><y{unit[1]}> {word}'
                words.add(word)
            expected.append(f'{said} {shape.colour} {shape.kind}')
        assert answer['text'].split('.') == expected
    assert words == {'left', 'right', 'up', 'down', 'still'}


def test_conversations_say_how_shapes_move_within_a_moment(root):
    lines = [json.loads(line) for line in (root / 'chat.jsonl').read_text().splitlines()]
    about_moments = [line for number, line in enumerate(lines) if 2 <= number % CONVERSATIONS < 6]
    moments = [(sample, start) for sample in drawn('train') for start in (0, 2, 4, 6)]
    for (sample, start), about_moment in zip(moments, about_moments, strict=True):
        (video, prompt), (answer,) = (message['content'] for message in about_moment['messages'])
        assert prompt == {'type': 'text', 'text': 'Locate the shapes.'}
        assert video == {
            'type': 'video',
            'video': [f'train/JPEGImages/{sample.video_id}/{frame:05d}.jpg' for frame in (start, start + 1)],
            'sample_fps': 3.0,
            'min_pixels': 56 * 56,
        }
        expected = []
        for index, shape in enumerate(sample.video.start.shapes):
            unit = unit_of(sample.masks[start : start + 2, index])
            if unit is not None:
                word = step_of(sample, index, start)
                said = 'stands still' if word == 'still' else f'moves {word}'
                expected.append(f'{shape.colour} {shape.kind} that {said}<x{unit[0]}><y{unit[1]}>')
        assert answer['text'].split('.') == expected


def test_conversations_are_read_by_finetuning_at_their_own_size(root):
    dataset = ChatDataset(root / 'chat.jsonl')
    for index, sample in enumerate(drawn('train')):
        about_video, about_moment, about_frame = (dataset[CONVERSATIONS * index + number] for number in (1, 2, 6))
        (clip,), (moment,), (picture,) = about_video.videos, about_moment.videos, about_frame.images
        assert moment.frames.shape == (2, 3, *sample.frames.shape[1:3])
        assert clip.frames.shape == (8, 3, *sample.frames.shape[1:3])
        assert clip.seconds == pytest.approx([frame / 3 for frame in range(8)])
        assert picture.size == sample.frames.shape[2:0:-1]
        assert about_video.images == about_frame.videos == []


def test_the_same_call_again_does_nothing_and_another_is_refused(root, tmp_path):
    before = files(root)
    assert build_video_dataset(root, num_videos={**NUM_VIDEOS, 'test': 0}, seed=SEED, fps=3.0) is None
    with pytest.raises(ValueError, match=r"holds shapes of other parameters, .*'fps': 3.0.* instead of .*'fps': 2.0"):
        build_video_dataset(root, num_videos=NUM_VIDEOS, seed=SEED)
    assert files(root) == before
    # what was drawn in two processes, over a dataset of pictures, is the same
    build_dataset(tmp_path, num_images={'val': 1})
    with pytest.raises(ValueError, match=r"holds shapes of other parameters, .*'num_images'"):
        build_video_dataset(tmp_path, num_videos=NUM_VIDEOS, seed=SEED, fps=3.0)
    build_video_dataset(tmp_path, num_videos=NUM_VIDEOS, seed=SEED, fps=3.0, workers=2, overwrite=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_videos': {'testA': 1}}, r"Unknown splits \['testA'\] in num_videos"),
        ({'num_videos': {'train': 0}}, r'give counts of 0 or more, and at least one video'),
        ({'difficulty': 'odd'}, "Unknown difficulty 'odd'"),
        ({'seed': -1}, 'seed=-1 is negative'),
        ({'workers': 0}, 'workers=0: at least one process must draw'),
        ({'num_frames': 2}, 'num_frames=2: give 6 or more'),
        ({'side_range': (150, 160)}, 'holds no multiple of 28 px'),
    ],
)
def test_argument_errors(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build_video_dataset(tmp_path / 'out', **{'num_videos': {'train': 1}, **arguments})
    assert not (tmp_path / 'out').exists()
