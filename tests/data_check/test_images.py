"""Every fault of an image, its masks and its phrases is found, with its kind; and all at once."""

import copy
import re

import numpy as np
import pytest
from given_dataset import item, rectangle, target
from PIL import Image

from flmm.data_check import ImageChecks

SOUND = target(rectangle(40, 30), 'red', ann_id=7)


def found(findings):
    return [(problem.kind, problem.entry) for problem in findings.problems]


def test_sound_image(findings, picture):
    result = findings(item(picture(), SOUND, target(None, 'blue'), target(rectangle(8, 6), 'b c', ann_id=[7, 8])))

    assert result.problems == []
    assert result.size == (60, 80)
    (only,) = result.items
    assert only.shares == [0.25, 0.01]
    assert only.lengths == [3, 4, 3]  # the tiny processor reads letters
    assert (only.num_no_target, only.num_several) == (1, 1)


@pytest.mark.parametrize('headers_only', [False, True])
@pytest.mark.parametrize(
    ('fault', 'kind', 'message'),
    [
        ('absent', 'image absent', "image '{}' does not exist; check data_root and data_prefix"),
        ('folder', 'image unreadable', "image '{}' cannot be read ("),
        ('text', 'image unreadable', "image '{}' cannot be read (no image of JPEG"),
        ('empty', 'image unreadable', "image '{}' cannot be read (no image of JPEG"),
        ('turned', 'image unreadable', "image '{}' is stored turned or mirrored (EXIF orientation 6)"),
        ('too large', 'image unreadable', "image '{}' has 80 x 60 px, more than max_pixels=4,799"),
        ('truncated', 'image unreadable', "image '{}' cannot be read (image file is truncated"),
        ('other size', 'image size', "image '{}' has 50x80 px (height x width), its annotation was made on 60x80"),
    ],
)
def test_image(findings, picture, tmp_path, fault, kind, message, headers_only):
    path = picture('a.jpg', height=50 if fault == 'other size' else 60)
    if fault in ('absent', 'folder'):
        (tmp_path / 'a.jpg').unlink()
    if fault == 'folder':
        (tmp_path / 'a.jpg').mkdir()
    if fault in ('text', 'empty'):
        (tmp_path / 'a.jpg').write_bytes(b'hello' if fault == 'text' else b'')
    if fault == 'turned':
        exif = Image.Exif()
        exif[0x0112] = 6
        picture('a.jpg', exif=exif)
    if fault == 'truncated':
        content = (tmp_path / 'a.jpg').read_bytes()
        (tmp_path / 'a.jpg').write_bytes(content[: len(content) // 2])
    loading = {'max_pixels': 4799} if fault == 'too large' else {}

    result = findings(item(path, SOUND), loading=loading, headers_only=headers_only)

    if headers_only and fault == 'truncated':
        assert result.problems == []
        return
    (problem,) = result.problems
    assert (problem.kind, problem.image, problem.datasets) == (kind, path, ('val/given',))
    assert problem.message.startswith(message.format(path))
    assert result.items[0].shares == [0.25]  # the mask is checked all the same, on the annotated size


@pytest.mark.parametrize(
    ('mask', 'kind', 'message'),
    [
        (rectangle(40, 0), 'mask', r'mask 1 \(annotation 9\) of image .* it is empty \(0 px\)'),
        ({'size': [6, 8], 'counts': [0, 48]}, 'mask', r'mask 1 .* has size \[6, 8\], the image has \[60, 80\]'),
        ({'size': [60, 80], 'counts': 'o'}, 'mask', r"mask 1 .* compressed counts 'o' are cut off"),
        ({'png': 'nowhere.png'}, 'mask file absent', "mask 1 .* is the file 'nowhere.png', which does not exist"),
        ({'size': [60, 80], 'counts': [9, 2, 4789]}, 'tiny mask', 'annotation 9 of image .* has 2 px of 4800'),
        (rectangle(80, 60), 'mask of everything', 'annotation 9 of image .* has 4800 px of 4800'),
    ],
)
def test_mask(findings, picture, mask, kind, message):
    result = findings(item(picture(), SOUND, target(mask, 'blue', ann_id=9), target(rectangle(8, 6), 'c')))

    (problem,) = result.problems
    assert (problem.kind, problem.entry) == (kind, 'annotation 9')
    assert re.search(message, problem.message)
    assert result.items[0].shares[0] == 0.25
    assert result.items[0].shares[-1] == 0.01


def test_limits_of_warnings_about_masks(findings, picture):
    three_pixels = target({'size': [60, 80], 'counts': [9, 3, 4788]}, 'a')
    nearly_all = target({'size': [60, 80], 'counts': [0, 4751, 49]}, 'b')
    assert findings(item(picture(), three_pixels, nearly_all)).problems == []


def test_mask_that_a_smaller_picture_loses(findings, picture):
    small = target({'size': [600, 800], 'counts': [800, 2, 479198]}, 'red', ann_id=3)
    result = findings(item(picture(), small, size=(600, 800)), masks={'rescale': True})
    assert found(result) == [('mask', 'annotation 3')]
    assert 'is empty (0 px) at 60x80 px' in result.problems[0].message


@pytest.mark.parametrize(
    ('text', 'kind', 'message'),
    [
        (' ?! ', 'phrase without a word', "phrase ' ?! ' has no letter or digit"),
        ('a' * 257, 'phrase', 'has 257 tokens, max_phrase_tokens is 256'),
        ('a\ud800', 'phrase', 'holds the lone surrogate'),
        (7, 'phrase', 'phrase 7 is of type int, expected a string'),
    ],
)
def test_phrase(findings, picture, text, kind, message):
    result = findings(item(picture(), SOUND, target(rectangle(9, 9), text, 'b')))
    assert found(result) == [(kind, text)]
    assert message in result.problems[0].message
    assert result.items[0].lengths == [3, 1]


def test_phrase_for_several_objects(findings, picture):
    again = target(rectangle(9, 9), ' RED ', ann_id=8)
    assert found(findings(item(picture(), SOUND, again, target(rectangle(8, 8), 'blue')))) == [('phrase twice', 'red')]
    same_object = target(copy.deepcopy(SOUND.mask), 'red', ann_id=[7])  # as a narrative names a segment again
    assert found(findings(item(picture(), SOUND, same_object))) == []
    nothing = target(None, 'green'), target(None, 'Green')
    assert found(findings(item(picture(), SOUND, *nothing))) == []


def test_phrase_for_several_objects_of_a_caption(findings, picture):
    narrative = item(picture(), target(rectangle(9, 9), 'a dog'), target(rectangle(8, 8), 'a dog'))
    narrative.caption = [0, ' behind ', 1]
    assert found(findings(narrative)) == []
    assert found(findings(narrative, concat=False)) == [('phrase twice', 'a dog')]


@pytest.mark.parametrize(
    ('text_mode', 'reading', 'is_found'),
    [
        ('original', {'independent': False}, True),
        ('original', {}, False),
        ('original', {'concat': False, 'independent': False}, False),
        ('original', {'concat': False}, False),
        ('random', {'independent': False}, True),
        ('random', {}, False),
        ('select_first', {'independent': False}, False),
    ],
)
def test_sequence(findings, picture, prompt_length, text_mode, reading, is_found):
    """The limit is that of prompt and 40 letters; the longest drawn are 30 + 20, each alone is shorter."""
    targets = target(rectangle(9, 9), 'a', 'b' * 30), target(rectangle(8, 8), 'c' * 20, 'd')
    settings = {'text_mode': text_mode, **reading}
    free = findings(item(picture(), *targets), **settings, max_text_tokens=10_000)
    assert free.problems == []

    result = findings(item(picture(), *targets), **settings, max_text_tokens=40 + prompt_length)

    assert found(result) == ([('sequence', None)] if is_found else [])
    assert sorted(result.items[0].lengths) == ([1, 20] if text_mode == 'select_first' else [1, 1, 20, 30])


def test_sequence_that_only_long_draws_exceed(findings, picture, prompt_length):
    """All four texts are too long together, but never drawn together."""
    targets = target(rectangle(9, 9), 'a' * 30, 'b' * 30), target(rectangle(8, 8), 'c' * 20, 'd' * 20)
    limit, drawn = prompt_length + 51, {'text_mode': 'random', 'independent': False}  # 30 + '.' + 20
    assert found(findings(item(picture(), *targets), **drawn, max_text_tokens=limit)) == []
    assert found(findings(item(picture(), *targets), **drawn, max_text_tokens=limit - 1)) == [('sequence', None)]


def test_an_independent_phrase_is_too_long_alone(findings, picture, prompt_length):
    targets = target(rectangle(9, 9), 'a' * 30), target(rectangle(8, 8), 'c' * 20)
    assert found(findings(item(picture(), *targets), max_text_tokens=prompt_length + 30)) == []
    assert found(findings(item(picture(), *targets), max_text_tokens=prompt_length + 29)) == [('phrase', 'a' * 30)]


def test_image_that_the_processor_refuses(findings, picture):
    result = findings(item(picture(height=2, width=500), target(rectangle(9, 2), 'a'), size=(2, 500)))
    assert found(result) == [('image refused', None)]
    assert 'aspect ratio' in result.problems[0].message


def test_all_at_once(findings, picture):
    faults = [
        target(rectangle(0, 9), 'a', ann_id=1),
        target(rectangle(0, 8), '?', ann_id=2),
        target({'png': 'nowhere.png'}, '!', ann_id=3),
    ]
    result = findings(item(picture(height=50), SOUND, *faults))
    assert found(result) == [
        ('image size', None),
        ('mask', 'annotation 1'),
        ('mask', 'annotation 2'),
        ('mask file absent', 'annotation 3'),
        ('phrase without a word', '?'),
        ('phrase without a word', '!'),
    ]


def test_several_items_of_an_image_read_it_once_and_say_each_thing_once(findings, picture, monkeypatch):
    opened = []
    monkeypatch.setattr('flmm.datasets.transforms.read_rgb', lambda *args, **kwargs: opened.append(1) or _raise())
    result = findings(item(picture(), SOUND), item(picture(), SOUND), item(picture(), target(rectangle(8, 6), 'b')))

    assert len(opened) == 1
    assert found(result) == [('image unreadable', None)]
    assert [only.shares for only in result.items] == [[0.25], [0.25], [0.01]]


def _raise():
    raise ValueError('damaged')


def test_equal_pixels_are_one_image(sources, picture):
    one, two = picture('a.png'), picture('b.bmp')  # the same random numbers
    assert np.array_equal(Image.open(one), Image.open(two))
    first, second = ImageChecks(sources(item(one, SOUND), item(two, SOUND)))
    assert first.identity == second.identity
    first, second = ImageChecks(sources(item(one, SOUND), item(two, SOUND)), headers_only=True)
    assert (first.identity, second.identity) == (one, two)
