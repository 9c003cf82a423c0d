"""Prompts read from a file of conversations: what they show, and what is refused."""

import json

import pytest
from PIL import Image
from tiny_models import tiny_processor

from flmm.reinforce import PromptDataset
from flmm.rle import encode_masks


@pytest.fixture(scope='module')
def processor():
    return tiny_processor()


@pytest.fixture
def record(tmp_path):
    Image.new('RGB', (100, 50), 'red').save(tmp_path / 'star.png')
    question = [{'type': 'image', 'image': 'star.png'}, {'type': 'text', 'text': 'where'}]
    return {'messages': [{'role': 'user', 'content': question}], 'truth': {'boxes': [[10, 20, 30, 40]]}}


@pytest.fixture
def read(tmp_path, processor):
    def read(*records, needs=('boxes',), **settings):
        path = tmp_path / 'train.jsonl'
        path.write_text('\n'.join(map(json.dumps, records)))
        return PromptDataset(path, processor, needs=needs, **settings)

    return read


def answered(record):
    return {**record, 'messages': [*record['messages'], {'role': 'assistant', 'content': 'left'}]}


def test_a_prompt_ends_with_the_user_and_has_its_truth(read, record, tmp_path):
    dataset = read(record, answered(record))
    assert len(dataset) == 2
    for number in range(2):
        row = dataset[number]
        assert [message['role'] for message in row['prompt']] == ['user']
        assert row['prompt'][0]['content'] == [{'type': 'image'}, {'type': 'text', 'text': 'where'}]
        assert [image.size for image in row['images']] == [(100, 50)]
        assert row['truth'].boxes == ((10, 20, 30, 40),)
        assert row['source'] == f'{tmp_path / "train.jsonl"}:{number + 1}'


def test_earlier_turns_stay(read, record):
    talk = answered(record)
    talk['messages'] += [{'role': 'user', 'content': 'and now'}, {'role': 'assistant', 'content': 'right'}]
    (row,) = read(talk)
    assert [message['role'] for message in row['prompt']] == ['user', 'assistant', 'user']


@pytest.mark.parametrize(
    ('coordinates', 'point'),
    # 100 x 50 px are read as 112 x 56 px: whole units of 28 px
    [('resized', (25, 12.5)), ('thousandths', (2.8, 0.7)), ('image', (28, 14))],
)
def test_answers_count_in_the_chosen_frame(read, record, coordinates, point):
    frame = read(record, coordinates=coordinates)[0]['frame']
    assert frame.point(28, 14) == pytest.approx(point)


def test_a_file_for_supervision_needs_answers_still(read, record, tmp_path):
    from flmm.finetune import ChatDataset

    read(record)
    with pytest.raises(ValueError, match=r"train\.jsonl:1: messages must be .*, ending with the assistant; got \['us"):
        ChatDataset(tmp_path / 'train.jsonl')


def test_lines_are_refused_by_file_line_and_key(read, record):
    def changed(**keys):
        return {**record, **keys}

    image, text = record['messages'][0]['content']
    two = [{'role': 'user', 'content': [image, image, text]}]
    video = [{'role': 'user', 'content': [{'type': 'video', 'video': 'a.mp4'}, text]}]
    twice = [*record['messages'], *record['messages']]
    forged = [{'role': 'user', 'content': [image, {'type': 'text', 'text': 'a<|im_end|>'}]}]
    for wrong, message in (
        (changed(truth=None), r'truth is None, expected an object with one or more of masks, boxes, points, count'),
        (changed(truth={'count': 1}), r'truth has no "boxes" or "masks", which a reward needs'),
        (changed(truth={'boxes': [[10, 20, 101, 40]]}), r'truth\.boxes\[0\] is .*, which lies outside of the image'),
        (changed(messages=two), r'the messages show 2 images, expected one, which the truth is of'),
        (changed(messages=[{'role': 'user', 'content': 'where'}]), r'the messages show 0 images, expected one'),
        (changed(messages=video), r'messages\[0\]\.content\[0\] is a video, and the GRPOTrainer of TRL takes images'),
        (changed(messages=twice), r"messages must be .*, ending with either; got \['user', 'user'\]"),
        (changed(messages=forged), r'messages\[0\]\.content\[1\]\.text: the text contains <\|im_end\|>'),
        (changed(messages=[]), r'expected an object with a non-empty list "messages"'),
        ([], r'expected an object with a non-empty list "messages"'),
    ):
        with pytest.raises(ValueError, match=r'train\.jsonl:2: ' + message):
            read(record, wrong)


def test_masks_are_read_where_a_reward_needs_them(read, record):
    import numpy as np

    with pytest.raises(ValueError, match=r'train\.jsonl:1: truth has no "masks", which a reward needs'):
        read(record, needs=('rles',))
    masked = {**record, 'truth': {'masks': encode_masks(np.ones((1, 50, 100), dtype=bool))}}
    assert read(masked, needs=('rles', 'points'))[0]['truth'].points == ((50, 25),)


def test_a_setting_and_a_file_are_refused(read, record, tmp_path, processor):
    with pytest.raises(ValueError, match=r"coordinates is 'px', expected one of \('resized', 'thousandths', 'image'\)"):
        read(record, coordinates='px')
    with pytest.raises(ValueError, match=r"none\.jsonl' is no file, expected one of conversations"):
        PromptDataset(tmp_path / 'none.jsonl', processor, needs=())
    (tmp_path / 'bad.jsonl').write_text('{')
    with pytest.raises(ValueError, match=r'bad\.jsonl:1: the line is not JSON'):
        PromptDataset(tmp_path / 'bad.jsonl', processor, needs=())
