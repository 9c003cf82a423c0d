"""Scenes in motion: where shapes are, and that sentences mean exactly their shape, read by their text alone."""

import re
from collections import Counter

import numpy as np
import pytest
from matplotlib.path import Path
from shape_sentences import read, read_noun

from flmm.shapes import (
    COLOURS,
    EXPRESSION_KINDS,
    MOTION_KINDS,
    Expression,
    Motion,
    MotionExpression,
    MovingScene,
    Scene,
    SceneConfig,
    Shape,
    VideoConfig,
    generate_video,
    refer_in_video,
    render_video,
    resolve_motion,
    video_config,
)

WAYS = {'left': (0, -1), 'right': (0, 1), 'up': (1, -1), 'down': (1, 1)}


def seen_motion(words, index, video):
    """Whether a shape moves as the words say, by its outlines in each frame."""
    outlines = np.stack([scene.shapes[index].contours[0] for scene in video.scenes])  # [T, P, 2]
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    centres = (low + high) / 2
    sides = np.array([video.start.width, video.start.height])
    outside = ((high <= 0) | (low >= sides)).any(axis=1)
    steps = np.abs(np.diff(centres, axis=0)).max(axis=1) > 0.5  # [T - 1]: whether it moves
    if match := re.fullmatch('moves (left|right|up|down)', words):
        axis, sign = WAYS[match[1]]
        way = centres[-1] - centres[0]
        return sign * way[axis] > 0.2 * sides[axis] and abs(way[1 - axis]) < 0.01
    return {
        'stands still': not steps.any(),
        'stops': steps[0] and not steps[-2:].any() and not outside[-1],
        'starts to move': not steps[:2].any() and steps[-1] and not outside[0],
        'leaves': not outside[0] and outside[-1],
        'enters': outside[0] and not outside[-1],
    }[words]


@pytest.fixture(scope='module')
def samples():
    settings = [('easy', 8), ('medium', 8), ('hard', 8), ('medium', 6), ('medium', 15)]
    return [
        generate_video(index, seed=5, split='train', config=video_config(difficulty, num_frames=frames))
        for difficulty, frames in settings
        for index in range(16)
    ]


def test_sentences_of_motion_mean_their_shape_and_need_the_motion(samples):
    number = 0
    for sample in samples:
        for sentence in sample.sentences:
            if sentence.kind not in MOTION_KINDS:
                continue
            noun, words = re.fullmatch('(?:the )?(.+) that (.+)', sentence.text).groups()
            rivals = read_noun(noun.split(), sample.video.start)
            assert len(rivals) > 1, sentence.text
            moving = {index for index in rivals if seen_motion(words, index, sample.video)}
            assert moving == {sentence.shape_index}, sentence.text
            assert resolve_motion(sentence.expression, sample.video) == [sentence.shape_index]
            assert (
                sentence.kind
                == f'motion:{ {"moves": "moves", "stands": "still"}.get(words.split()[0], words.split()[0]) }'
            )
            number += 1
    assert number > 200


def test_sentences_of_still_kinds_mean_their_shape_in_every_frame(samples):
    number = 0
    for sample in samples:
        for sentence in sample.sentences:
            if sentence.kind in EXPRESSION_KINDS:
                for scene in sample.video.scenes:
                    assert read(sentence.text, scene) == ({sentence.shape_index}, sentence.kind), sentence.text
                number += 1
    assert number > 150


def test_all_kinds_occur_and_many_words_do_not_tell_without_the_motion(samples):
    counts = Counter(sentence.kind for sample in samples for sentence in sample.sentences)
    assert set(counts) == {*EXPRESSION_KINDS, *MOTION_KINDS}
    assert sum(counts[kind] for kind in MOTION_KINDS) > 0.4 * counts.total()
    assert min(counts[kind] for kind in MOTION_KINDS) > 0.02 * counts.total()
    twins = [
        sample
        for sample in samples
        if max(Counter((shape.kind, shape.colour) for shape in sample.video.start.shapes).values()) > 1
    ]
    assert len(twins) > 0.5 * len(samples)


def raster(shape, height, width):
    """A shape's pixels as matplotlib counts them: those whose centre lies in its outline, but not in its hole."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    outer, *holes = (
        Path(contour, closed=False).contains_points(points).reshape(height, width) for contour in shape.contours
    )
    return outer & ~holes[0] if holes else outer


def test_masks_are_where_the_shapes_are(samples):
    hidden = cut = 0
    for sample in samples[::4]:
        frames, shapes, height, width = sample.masks.shape
        assert sample.frames.shape == (frames, height, width, 3)
        assert height % 28 == width % 28 == 0
        assert 140 <= min(height, width) <= max(height, width) <= 196
        assert 2 <= shapes <= 5
        assert sample.masks.sum(axis=1).max() <= 1
        for scene, masks in zip(sample.video.scenes, sample.masks, strict=True):
            in_front = np.zeros((height, width), dtype=bool)
            for shape, mask in reversed(list(zip(scene.shapes, masks, strict=True))):
                whole = raster(shape, height, width)
                visible = whole & ~in_front
                in_front |= whole
                assert (mask ^ visible).sum() <= 0.1 * shape.area  # half covered pixels, on the outline
                if shape.is_outside(height, width):
                    assert not mask.any()
                hidden += visible.sum() < 0.8 * whole.sum()
                cut += 0 < whole.sum() < 0.8 * shape.area
    assert hidden > 5  # shapes hide each other
    assert cut > 5  # and leave the picture


def test_the_background_stands_still():
    config = video_config('easy')  # without noise
    sample = generate_video(3, seed=5, split='val', config=config)
    never = ~sample.masks.any(axis=(0, 1))
    away = np.ones_like(never)
    for scene in sample.video.scenes:
        for shape in scene.shapes:
            left, top, right, bottom = (int(side) for side in shape.box)
            away[max(top - 3, 0) : max(bottom + 4, 0), max(left - 3, 0) : max(right + 4, 0)] = False
    assert (never & away).sum() > 500
    assert np.ptp(sample.frames[:, never & away].astype(int), axis=0).max() == 0


def test_a_video_depends_on_seed_split_and_index_alone():
    config = video_config('medium')
    one, same, other = (generate_video(i, seed=2, split='test', config=config) for i in (4, 4, 5))
    assert np.array_equal(one.frames, same.frames)
    assert one.sentences == same.sentences
    assert one.video_id == '2000005'
    assert one.frames.shape != other.frames.shape or not np.array_equal(one.frames, other.frames)


# Margins, on videos made by hand: 100 x 100 px, eight frames.


def make_video(*shapes, num_frames=8):
    made = [
        Shape(kind=kind, colour=colour, rgb=COLOURS[colour], size=20.0, centre=centre, rotation=0.0)
        for kind, colour, centre, _ in shapes
    ]
    config = SceneConfig(outline=0, noise=0.0, num_patches=(0, 0))
    start = Scene(height=100, width=100, shapes=tuple(made), config=config)
    return MovingScene(start=start, motions=tuple(motion for *_, motion in shapes), num_frames=num_frames, fps=2.0)


def moving(direction, first=0, last=7, distance=40.0):
    return Motion(direction=direction, first=first, last=last, distance=distance)


def test_offsets_by_hand():
    motion = moving('up', first=2, last=6, distance=40.0)
    assert [motion.offset(frame) for frame in range(8)] == [
        (0, 0), (0, 0), (0, 0), (0, -10), (0, -20), (0, -30), (0, -40), (0, -40)
    ]  # fmt: skip
    assert Motion().offset(5) == (0, 0)
    assert [motion.within(start, start + 1) for start in range(7)] == [None, None, 'up', 'up', 'up', 'up', None]
    assert Motion().within(0, 7) is None


@pytest.mark.parametrize(
    ('said', 'motion', 'found'),
    [
        ('left', moving('left'), [0]),
        ('left', moving('right'), []),
        ('left', Motion(), []),
        ('still', Motion(), [0]),
        ('still', moving('left'), []),
        ('still', moving('left', last=4), []),  # unclear: it stands for a while
        ('stops', moving('left', last=5), [0]),
        ('stops', moving('left', last=6), []),  # unclear: one step at rest
        ('stops', moving('left'), []),
        ('stops', moving('left', last=4, distance=90.0), []),  # it has left
        ('starts', moving('left', first=2), [0]),
        ('starts', moving('left', first=1), []),
        ('leaves', moving('left', distance=61.0), [0]),
        ('leaves', moving('left', distance=45.0), []),  # unclear: cut by the edge
        ('leaves', moving('left', distance=30.0), []),
        ('enters', moving('left', distance=61.0), []),
    ],
)
def test_what_is_said_of_a_motion(said, motion, found):
    video = make_video(('circle', 'red', (50.0, 50.0), motion))
    assert resolve_motion(MotionExpression(motion=said), video) == found


def test_who_enters_comes_from_outside():
    entering = ('circle', 'red', (-11.0, 50.0), moving('right', first=1))
    assert resolve_motion(MotionExpression(motion='enters'), make_video(entering)) == [0]
    assert resolve_motion(MotionExpression(motion='starts'), make_video(entering)) == []  # nobody saw it at rest


def test_one_unclear_rival_spoils_it():
    still, stopping = (
        ('circle', 'red', (20.0, 20.0), Motion()),
        ('circle', 'blue', (80.0, 80.0), moving('left', last=4)),
    )
    expression = MotionExpression(noun=Expression(kind='circle'), motion='still')
    assert resolve_motion(expression, make_video(still)) == [0]
    assert resolve_motion(expression, make_video(still, stopping)) == []
    red = MotionExpression(noun=Expression(kind='circle', colour='red'), motion='still')
    assert resolve_motion(red, make_video(still, stopping)) == [0]


def test_a_place_that_changes_is_not_spoken_of():
    """The red circle is left of the blue one until it has passed it; the green one stays at the top."""
    video = make_video(
        ('circle', 'red', (15.0, 75.0), moving('right', distance=70.0)),
        ('circle', 'blue', (50.0, 50.0), Motion()),
        ('circle', 'green', (50.0, 15.0), Motion()),
    )
    _, masks = render_video(video, np.random.default_rng(0))
    texts = [s.text for seed in range(20) for s in refer_in_video(video, masks, np.random.default_rng(seed))]
    assert any('top' in text for text in texts)
    assert not any(
        re.search(r'(^| )(left|leftmost|right|rightmost)( of)? ', text) for text in texts if 'moves' not in text
    )


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_frames': 5}, 'num_frames=5: give 6 or more'),
        ({'fps': 0.0}, 'fps=0.0: give frames in a second'),
        ({'twins': 1.5}, 'twins=1.5 is a probability'),
        ({'scene': SceneConfig(side_range=(141, 167))}, r'side_range=\(141, 167\) holds no multiple of 28 px'),
    ],
)
def test_config_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        VideoConfig(**settings)


def test_arguments_of_a_video():
    config = video_config('easy')
    with pytest.raises(ValueError, match="Unknown split 'testA'"):
        generate_video(0, seed=0, split='testA', config=config)
    with pytest.raises(ValueError, match='seed=-1 is negative'):
        generate_video(0, seed=-1, split='val', config=config)
    with pytest.raises(ValueError, match='index=1000000: a split holds 1000000 videos'):
        generate_video(1_000_000, seed=0, split='val', config=config)
