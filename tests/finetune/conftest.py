"""A tokenizer of words and a Qwen2.5-VL of a few thousand parameters."""

import json

import pytest
import torch
from PIL import Image
from tiny_videos import write_video
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>']
SPECIAL += ['<|image_pad|>', '<|video_pad|>']
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif part['type'] == 'video' %}"
    "<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    '<|im_end|>\n{% endfor %}'
)
WORDS = [
    'system',
    'user',
    'assistant',
    '\n',
    'be',
    'brief',
    'where',
    'is',
    'the',
    'star',
    'left',
    'right',
    'and',
    'now',
]


@pytest.fixture(scope='session')
def processor():
    vocab = {word: index for index, word in enumerate([*SPECIAL, '[UNK]', *WORDS])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token='[UNK]'))
    # Spaces vanish, line breaks are tokens of their own.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split('\n', 'isolated'), pre_tokenizers.Split(' ', 'removed')]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, additional_special_tokens=SPECIAL, unk_token='[UNK]', pad_token='<|endoftext|>'
    )
    size = {'min_pixels': 28 * 28, 'max_pixels': 112 * 112}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**size),
        chat_template=TEMPLATE,
    )


@pytest.fixture
def tiny_model(processor):
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                'depth': 1, 'hidden_size': 16, 'intermediate_size': 16, 'num_heads': 2, 'out_hidden_size': 24,
                'fullatt_block_indexes': [0],
            },
            text_config={
                'vocab_size': len(processor.tokenizer), 'hidden_size': 24, 'intermediate_size': 24,
                'num_hidden_layers': 1, 'num_attention_heads': 2, 'num_key_value_heads': 2,
                'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [2, 2, 2]},
                'bos_token_id': None, 'eos_token_id': None,
            },
            image_token_id=processor.image_token_id,
            video_token_id=processor.video_token_id,
        )
    )  # fmt: skip


@pytest.fixture
def write_jsonl(tmp_path):
    """Write records (or raw strings) as lines; an image of 84 x 56 px lies beside them as star.png."""
    Image.new('RGB', (84, 56), 'red').save(tmp_path / 'star.png')

    def write(*records):
        path = tmp_path / 'data.jsonl'
        path.write_text('\n'.join(r if isinstance(r, str) else json.dumps(r) for r in records), encoding='utf-8')
        return path

    return write


@pytest.fixture
def record():
    return {
        'messages': [
            {'role': 'system', 'content': 'be brief'},
            {
                'role': 'user',
                'content': [{'type': 'image', 'image': 'star.png'}, {'type': 'text', 'text': 'where is the star'}],
            },
            {'role': 'assistant', 'content': 'the left'},
            {'role': 'user', 'content': 'and now'},
            {'role': 'assistant', 'content': [{'type': 'text', 'text': 'right'}]},
        ]
    }


@pytest.fixture
def record_with_videos(tmp_path):
    """A conversation about star.png, five frames of 90 x 50 px, 4 a second, and a second of a video of 96 x 64 px."""
    for number in range(5):
        Image.effect_noise((90, 50), 40 + number).convert('RGB').save(tmp_path / f'{number}.png')
    write_video(tmp_path / 'clip.mp4', num_frames=20, fps=10)
    frames = {'type': 'video', 'video': [f'{number}.png' for number in range(5)], 'sample_fps': 4, 'max_pixels': 4000}
    clip = {'type': 'video', 'video': 'clip.mp4', 'fps': 4, 'video_end': 1.0, 'max_pixels': 784 * 4}
    return {
        'messages': [
            {
                'role': 'user',
                'content': [
                    frames,
                    {'type': 'image', 'image': 'star.png'},
                    {'type': 'text', 'text': 'where is the star'},
                ],
            },
            {'role': 'assistant', 'content': 'left'},
            {'role': 'user', 'content': [clip, {'type': 'text', 'text': 'and now'}]},
            {'role': 'assistant', 'content': 'the right'},
        ]
    }
