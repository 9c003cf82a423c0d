"""Many images: the same as one by one, in order, and no error is lost."""

import io
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_grounder import tiny_grounder
from tiny_models import tiny_processor
from tiny_refcoco import REPOSITORY

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.grounder import Grounder, Grounding

pytestmark = pytest.mark.usefixtures('on_one_thread')

PHRASES = ['a cat', 'dog']


def build_grounder(**settings):
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(), **settings)
    return Grounder(model=tiny_grounder(), to_sample=RefCOCO2PNG(image_processor=processor, prompt='Look.'))


@pytest.fixture(scope='module')
def grounder():
    return build_grounder()


def photo(seed, size=(90, 60)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    for seed, name in enumerate(['b.png', 'a.PNG', 'c.bmp', 'd.webp']):
        photo(seed, (60 + 8 * seed, 90)).save(folder / name, lossless=True)
    (folder / 'notes.txt').write_text('no image')
    (folder / 'more.png').mkdir()
    return folder


def paths_of(folder):
    return [str(folder / name) for name in ['a.PNG', 'b.png', 'c.bmp', 'd.webp']]


def assert_same(found, expected):
    assert isinstance(found, Grounding)
    assert (found.name, found.phrases) == (expected.name, expected.phrases)
    assert np.array_equal(found.image, expected.image)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.coarse.small, expected.coarse.small)
    assert torch.equal(found.logits(), expected.logits())
    assert torch.equal(found.masks, expected.masks)


@pytest.mark.parametrize('num_workers', [0, 1, 2])
def test_a_folder_is_what_one_by_one_is(grounder, folder, num_workers):
    found = dict(grounder.ground_many(folder, PHRASES, num_workers=num_workers))
    assert list(found) == paths_of(folder)
    for path, grounding in found.items():
        assert_same(grounding, grounder.read(path).ground(PHRASES))


def test_adaptive_patches_are_selected_alike_in_a_worker(folder):
    """Which has one thread, whatever this process has."""
    grounder = build_grounder(patch_selection_method='budget', alpha=0.5)
    torch.set_num_threads(2)
    ((_, found),) = grounder.ground_many([folder / 'c.bmp'], ['x'], num_workers=1)
    assert_same(found, grounder.read(folder / 'c.bmp').ground(['x']))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_anything_that_is_read_and_phrases_of_its_own(grounder, folder, num_workers):
    path = folder / 'b.png'
    pixels = np.asarray(photo(0))
    images = [path, path.read_bytes(), photo(0), pixels, torch.tensor(pixels).permute(2, 0, 1)]
    pairs = [(image, (f'phrase {number}', 'x')[: 1 + number % 2]) for number, image in enumerate(images)]
    pairs[1] = [images[1], iter(['of a generator'])]
    found = list(grounder.ground_many(iter(pairs), num_workers=num_workers))
    assert [name for name, _ in found] == [str(path), 'images[1]', 'images[2]', 'images[3]', 'images[4]']
    pairs[1] = [images[1], ['of a generator']]
    for (name, grounding), (image, phrases) in zip(found, pairs, strict=True):
        expected = grounder.read(image).ground(phrases)
        assert grounding.name == name
        assert grounding.phrases == list(phrases)
        assert torch.equal(grounding.logits(), expected.logits())


@pytest.mark.parametrize(('num_workers', 'most'), [(0, 3), (2, 7)])
def test_images_are_taken_as_they_are_needed(grounder, num_workers, most):
    taken = []
    endless = (taken.append(number) or photo(number) for number in itertools.count())
    found = grounder.ground_many(endless, iter(PHRASES), num_workers=num_workers)
    assert taken == []
    names = [name for name, _ in itertools.islice(found, 3)]
    assert names == ['images[0]', 'images[1]', 'images[2]']
    assert 3 <= len(taken) <= most
    found.close()


def test_random_numbers_are_left_alone(grounder, folder):
    torch.manual_seed(0)
    random.seed(0)
    expected = torch.rand(()), random.random()
    torch.manual_seed(0)
    random.seed(0)
    list(grounder.ground_many(folder, PHRASES, num_workers=1))
    assert (torch.rand(()), random.random()) == expected


@pytest.fixture
def mixed(folder, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes((folder / 'a.PNG').read_bytes()[:200])
    return [folder / 'a.PNG', broken, np.zeros((4, 4)), tmp_path / 'absent.png', photo(7, (4, 900)), folder / 'b.png']


MESSAGES = {
    1: r"^image '.*broken\.png' cannot be read",
    2: r'^images\[2\]: image is a float64 array \(4, 4\)',
    3: r"^image '.*absent\.png' cannot be read \(it does not exist\)",
    4: r"^image 'images\[4\]': .*aspect ratio",
}


@pytest.mark.parametrize('num_workers', [0, 2])
def test_errors_stand_in_the_place_of_what_is_found(grounder, mixed, num_workers):
    found = list(grounder.ground_many(mixed, PHRASES, num_workers=num_workers, on_error='yield'))
    names = [str(mixed[0]), str(mixed[1]), 'images[2]', str(mixed[3]), 'images[4]', str(mixed[5])]
    assert [name for name, _ in found] == names
    for index, (_, grounding) in enumerate(found):
        if index in MESSAGES:
            with pytest.raises(ValueError, match=MESSAGES[index]):
                raise grounding
        else:
            assert_same(grounding, grounder.read(mixed[index]).ground(PHRASES))


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('index', MESSAGES)
def test_the_first_error_is_raised_behind_what_was_found(grounder, mixed, index, num_workers):
    found = grounder.ground_many([mixed[0], mixed[index], mixed[5]], PHRASES, num_workers=num_workers)
    next(found)
    with pytest.raises(ValueError, match=MESSAGES[index].replace(f'[{index}', '[1')):
        next(found)


def test_phrases_of_one_image_that_cannot_be_read(grounder):
    pairs = [(photo(0), ['x', '?!']), (photo(1), 'a cat'), (photo(2), 5), (photo(3), []), (photo(4), ['x'])]
    errors = [found for _, found in grounder.ground_many(pairs, on_error='yield')]
    assert isinstance(errors.pop(), Grounding)
    messages = [
        r"image 'images\[0\]': phrase '\?!' has no letter or digit",
        r"image 'images\[1\]' has the string 'a cat' for phrases; give a list",
        r"image 'images\[2\]' has 5 for phrases; give a list",
        r"image 'images\[3\]' has no phrase",
    ]
    for error, message in zip(errors, messages, strict=True):
        with pytest.raises(ValueError, match=message):
            raise error


def test_bugs_are_raised_whatever_is_said_of_errors(grounder, monkeypatch):
    def preprocess(*args, **kwargs):
        raise KeyError('a bug')

    monkeypatch.setattr(grounder.to_sample.image_processor, 'preprocess', preprocess)
    for num_workers in (0, 1):
        with pytest.raises(KeyError, match='a bug'):
            next(grounder.ground_many([photo(0)], PHRASES, num_workers=num_workers, on_error='yield'))


@pytest.mark.parametrize(
    ('images', 'phrases', 'settings', 'message'),
    [
        ('photo.jpg', PHRASES, {}, r"images is 'photo\.jpg', which is no folder; give a folder, or a list of images"),
        (b'', PHRASES, {}, 'images is a bytes; give a folder, or a list of images'),
        (Image.new('L', (4, 4)), PHRASES, {}, 'images is a Image; give a folder'),
        ([], 'a cat', {}, r"phrases is 'a cat'; give a list of strings, or None and pairs \(image, phrases\)"),
        ([], 5, {}, 'phrases is 5; give a list of strings'),
        ([], [], {}, 'phrases is empty; give a list of strings'),
        ([], ['x', ' '], {}, "phrase ' ' has no letter or digit"),
        ([], ['x' * 300], {}, 'max_phrase_tokens is 256'),
        ([], PHRASES, {'num_workers': -1}, 'num_workers is -1, expected 0 or a number of processes'),
        ([], PHRASES, {'num_workers': True}, 'num_workers is True, expected 0'),
        ([], PHRASES, {'on_error': 'ignore'}, r"on_error is 'ignore', expected one of \('raise', 'yield'\)"),
    ],
)
def test_wrong_use_is_an_error_at_once(grounder, images, phrases, settings, message):
    with pytest.raises(ValueError, match=message):
        grounder.ground_many(images, phrases, **settings)


def test_a_folder_without_images(grounder, tmp_path):
    with pytest.raises(ValueError, match=r"folder '.*' has no images \(\.bmp, "):
        grounder.ground_many(tmp_path, PHRASES)


@pytest.mark.parametrize('item', [photo(0), 'photo.jpg', ('a', 'b', 'c')], ids=lambda item: type(item).__name__)
def test_without_phrases_each_item_is_a_pair(grounder, item):
    with pytest.raises(
        ValueError, match=r'images\[1\] is .*, expected a pair \(image, phrases\), since phrases is None'
    ):
        list(grounder.ground_many([(photo(0), ['x']), item], on_error='yield'))


def test_progress(grounder, folder, capfd):
    list(grounder.ground_many(folder, PHRASES))
    assert capfd.readouterr().err == ''
    list(grounder.ground_many(folder, PHRASES, progress=True))
    assert '4/4' in capfd.readouterr().err
    list(grounder.ground_many(iter([photo(0)]), PHRASES, progress=True))
    assert '1image' in capfd.readouterr().err  # of how many is not known


def opened(image, *, cut=0):
    """An image that Pillow has only opened."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    content = buffer.getvalue()
    return Image.open(io.BytesIO(content[: len(content) - cut]))


@pytest.mark.parametrize('num_workers', [0, 1])
def test_what_cannot_be_sent_to_a_worker_is_an_error_or_needs_no_sending(grounder, num_workers):
    """It would never arrive, and the loader would wait for it without end."""
    images = [opened(photo(0)), opened(photo(1), cut=400), lambda: 1, (number for number in range(2)), photo(2)]
    first, *broken, last = (found for _, found in grounder.ground_many(
        images, ['x'], num_workers=num_workers, on_error='yield'
    ))  # fmt: skip
    assert torch.equal(first.logits(), grounder.read(photo(0)).ground(['x']).logits())
    assert torch.equal(last.logits(), grounder.read(photo(2)).ground(['x']).logits())
    kinds = 'expected a path, bytes of a file, a PIL image, a uint8 array or a uint8 tensor'
    assert [str(error) for error in broken] == [
        "images[1]: image 'image' cannot be read (image file is truncated); download it again or convert it",
        f'images[2]: image is a function, {kinds}',
        f'images[3]: image is a generator, {kinds}',
    ]
    pairs = [(photo(0), [lambda: 1]), (photo(0), ['x'])]
    (_, error), (_, found) = grounder.ground_many(pairs, num_workers=num_workers, on_error='yield')
    assert 'is of type function, expected a string' in str(error)
    assert torch.equal(found.logits(), first.logits())


KILLED = """
import itertools, os, signal
import numpy as np
from PIL import Image
from tiny_reading import build_reader
large = Image.fromarray(np.zeros((400, 400, 3), dtype=np.uint8))  # more than a pipe takes
found = build_reader().ground_many(itertools.repeat(large), ['x'], num_workers=2)
next(found)
print(*(child.pid for child in __import__('multiprocessing').active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def lives(process):
    """A zombie does not; whoever took it over may never ask for it."""
    stat = Path('/proc', str(process), 'stat')
    return stat.exists() and stat.read_text().rpartition(')')[2].split()[0] != 'Z'


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    helpers = Path(__file__).parents[1] / 'helpers'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(REPOSITORY), str(helpers)])}
    with open(tmp_path / 'workers', 'wb') as written:  # a pipe would be open as long as they live
        killed = subprocess.run(
            [sys.executable, '-c', KILLED], env=environment, stdout=written, stderr=subprocess.DEVNULL, check=False
        )
    workers = list(map(int, (tmp_path / 'workers').read_text().split()))
    assert (killed.returncode, len(workers)) == (-signal.SIGKILL, 2)
    until = time.monotonic() + 20
    while alive := [worker for worker in workers if lives(worker)]:
        if time.monotonic() > until:
            for worker in alive:
                os.kill(worker, signal.SIGKILL)
            raise AssertionError(f'workers {alive} live on')
        time.sleep(0.1)
