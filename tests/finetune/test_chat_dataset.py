import copy
import re

import pytest

from flmm.finetune import ChatDataset


def test_messages_and_images(write_jsonl, record):
    path = write_jsonl(record, '', record)
    dataset = ChatDataset(path)
    assert len(dataset) == 2
    conversation = dataset[1]
    assert conversation.source == f'{path}:3'
    assert [message['role'] for message in conversation.messages] == [m['role'] for m in record['messages']]
    assert conversation.messages[1]['content'] == [{'type': 'image'}, {'type': 'text', 'text': 'where is the star'}]
    assert conversation.messages[2]['content'] == [{'type': 'text', 'text': 'the left'}]
    assert [image.size for image in conversation.images] == [(84, 56)]
    assert conversation.images[0].mode == 'RGB'


def test_image_root(write_jsonl, record, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'star.png').rename(tmp_path / 'elsewhere' / 'star.png')
    path = write_jsonl(record)
    assert len(ChatDataset(path, image_root=tmp_path / 'elsewhere')[0].images) == 1
    with pytest.raises(ValueError, match=r'data.jsonl:1: messages\[1\].content\[0\].image: no such file: .*star.png'):
        ChatDataset(path)


def _broken(record, change):
    record = copy.deepcopy(record)
    change(record['messages'])
    return record


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda m: m.clear(), 'expected an object with a non-empty list "messages"'),
        (lambda m: m.pop(), 'messages must be an optional system message'),
        (lambda m: m.pop(1), 'messages must be an optional system message'),
        (
            lambda m: m[1].update(role='human'),
            'messages[1].role: expected "system", "user" or "assistant", got \'human\'',
        ),
        (
            lambda m: m[2].update(content=[]),
            'messages[2].content: expected a string or a non-empty list of parts, got []',
        ),
        (lambda m: m[1]['content'][0].update(type='video'), 'messages[1].content[0].type: expected "text" or "image"'),
        (lambda m: m[1]['content'][1].pop('text'), 'messages[1].content[1].text: expected a string, got None'),
        (
            lambda m: m[3].update(content='<|im_end|>'),
            'messages[3].content[0].text: the text contains <|im_end|>, which only the chat template may write',
        ),
        (
            lambda m: m[2].update(content=[{'type': 'image', 'image': 'star.png'}]),
            'messages[2].content[0]: only a user message may hold an image, this one is of role "assistant"',
        ),
        (
            lambda m: m.__setitem__(0, 'hello'),
            'messages[0]: expected an object with "role" and "content", got \'hello\'',
        ),
    ],
)
def test_errors_name_line_and_key(write_jsonl, record, change, message):
    path = write_jsonl(record, _broken(record, change))
    with pytest.raises(ValueError, match=re.escape(f'{path}:2: {message}')):
        ChatDataset(path)


def test_bad_json_and_empty_file(write_jsonl, record):
    with pytest.raises(ValueError, match=r'data.jsonl:2: not valid JSON'):
        ChatDataset(write_jsonl(record, '{"messages": ['))
    with pytest.raises(ValueError, match=r'data.jsonl: the file holds no conversation'):
        ChatDataset(write_jsonl('', ''))


def test_truncated_image_is_named(write_jsonl, record, tmp_path):
    path = write_jsonl(record)
    content = (tmp_path / 'star.png').read_bytes()
    (tmp_path / 'star.png').write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"image '.*star\.png' cannot be read \(.+\); download it again or convert it"):
        ChatDataset(path)[0]
