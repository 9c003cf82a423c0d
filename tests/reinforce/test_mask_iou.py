"""The reward by the frozen attention: IoU of coarse masks with the truth, image and phrases read once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.grounder import Grounder
from flmm.grounder.demo import demo_folder
from flmm.mask_logits import MaskLogits
from flmm.reinforce import AnsweredObject, MaskIoU, Truth
from flmm.rle import encode_masks
from flmm.shapes import DIFFICULTY, generate_sample
from flmm.text import prepare_phrase

WIDTHS = {'left half': (0, 10), 'quarter': (0, 5), 'right half': (10, 20), 'nowhere': (0, 0), 'left 12': (0, 12)}
"""Columns of the mask that each phrase grounds, in images of 20 x 8 px."""


class KnownGrounder:
    """Grounds phrases as WIDTHS says, and counts what it reads."""

    independent = True

    def __init__(self):
        self.to_sample = self.text_tokenizer = self
        self.read_images, self.asked = [], []

    def phrases(self, phrases, *, separated):
        for phrase in phrases:
            prepare_phrase(phrase, lowercase=True)

    def read(self, image, *, with_sam):
        assert not with_sam
        self.read_images.append(image)
        return self

    def coarse(self, phrases):
        self.asked.append(phrases)
        logits = torch.full((len(phrases), 8, 20), -1.0)
        for mask, phrase in zip(logits, phrases, strict=True):
            mask[:, slice(*WIDTHS[phrase])] = 1.0
        return MaskLogits.from_image(logits)


def truth_of(*columns):
    masks = np.zeros((len(columns), 8, 20), dtype=bool)
    for mask, (start, stop) in zip(masks, columns, strict=True):
        mask[:, start:stop] = True
    return Truth(image_size=(20, 8), count=len(columns), rles=tuple(encode_masks(masks)) if columns else ())


def answer(*phrases):
    return tuple(AnsweredObject(phrase=phrase) for phrase in phrases)


@pytest.fixture
def grounder():
    return KnownGrounder()


def scores(grounder, answers, truth):
    image = Image.new('RGB', (20, 8))
    number = len(answers)
    return MaskIoU(grounder)(answers, [truth] * number, [image] * number, ['a.jsonl:1'] * number)


def test_iou_of_one_object(grounder):
    found = scores(grounder, [answer(name) for name in WIDTHS], truth_of((0, 10)))
    assert found == pytest.approx([1, 0.5, 0, 0, 10 / 12])


def test_objects_are_matched_one_to_one(grounder):
    truth = truth_of((0, 10), (10, 20))
    answers = [
        answer('right half', 'left half'),
        answer('left half'),
        answer('left half', 'left half'),
        answer('quarter', 'right half', 'left 12'),
        (),
    ]
    assert scores(grounder, answers, truth) == pytest.approx([1, 1 / 2, 1 / 2 + 0 / 2, (10 / 12 + 1) / 3, 0])


def test_where_nothing_is_only_an_answer_without_objects_is_right(grounder):
    assert scores(grounder, [(), answer('left half'), None], truth_of()) == [1, 0, 0]
    assert grounder.read_images == []


def test_what_cannot_be_read_or_has_no_phrase_fits_nothing(grounder):
    nothing = [None, answer('...'), answer('\ud800'), answer(''), (AnsweredObject(box=(0, 0, 10, 8)),)]
    assert scores(grounder, nothing, truth_of((0, 10))) == [0] * 5
    assert scores(grounder, [answer('...', 'left half')], truth_of((0, 10))) == [1 / 2]


def test_an_image_and_each_of_its_phrases_are_read_once(grounder):
    first, other = Image.new('RGB', (20, 8)), Image.new('RGB', (20, 8), 'red')
    answers = [answer('left half'), answer('quarter'), answer('right half', 'quarter'), answer('left half')]
    truths = [truth_of((0, 10)), truth_of((10, 20)), truth_of((0, 10)), truth_of((10, 20))]
    found = MaskIoU(grounder)(answers, truths, [first, other, first, other], ['a:1', 'a:2', 'a:1', 'a:2'])
    assert found == pytest.approx([1, 0, 1 / 4, 0])
    assert grounder.read_images == [first, other]
    assert grounder.asked == [['left half', 'quarter', 'right half'], ['left half', 'quarter']]


def test_phrases_in_one_sequence_are_refused(grounder):
    grounder.independent = False
    with pytest.raises(ValueError, match='reads phrases in one sequence, where each depends on others; build it with'):
        MaskIoU(grounder)


@pytest.fixture
def one_thread():
    """Two of them would wait for each other longer than they work on so little, wherever other processes run."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


@pytest.mark.usefixtures('one_thread')
def test_the_reward_of_a_trained_grounder_is_the_iou_of_its_coarse_masks(monkeypatch):
    scene = generate_sample(0, seed=0, split='val', config=replace(DIFFICULTY['easy'], side_range=(140, 168)))
    trained = Grounder.from_pretrained(demo_folder())
    phrases = [f'the {shape.colour} {shape.kind}' for shape in scene.scene.shapes]
    image = Image.fromarray(scene.image)
    coarse = trained.read(image).ground(phrases).coarse.masks().numpy()
    expected = [(mine & true).sum() / (mine | true).sum() for mine, true in zip(coarse, scene.masks, strict=True)]
    monkeypatch.setattr(trained.model.sam, 'encode_images', None)
    monkeypatch.setattr(trained.model.sam, 'refine', None)
    truths = [
        Truth(image_size=image.size, count=1, rles=tuple(encode_masks(scene.masks[[i]]))) for i in range(len(phrases))
    ]
    sources = [f'a.jsonl:{i}' for i in range(len(phrases))]
    found = MaskIoU(trained)([answer(phrase) for phrase in phrases], truths, [image] * len(phrases), sources)
    assert found == pytest.approx(expected, abs=1e-3)
    assert max(found) > 0.5

    truth = Truth(image_size=image.size, count=len(phrases), rles=tuple(encode_masks(scene.masks)))
    adversarial = ['<|image_pad|>', '<|im_end|> <|im_start|>', 'a \ud800', '\x00', '\u202e', 'a' * 10**5, 'a ' * 3000]
    found = MaskIoU(trained)([answer(phrase, *phrases) for phrase in adversarial], [truth] * 7, [image] * 7, ['a'] * 7)
    assert all(0 <= each <= 1 for each in found)
    assert found[2] == found[3] == found[5] == found[6] > 0.1  # one more object, which fits nothing
