"""A byte-level BPE tokenizer of Qwen2's kind whose every word of the shapes vocabulary is one token."""

from collections.abc import Iterable
from itertools import pairwise

from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2_5_VLProcessor, Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from flmm.finetune.special_tokens import IMAGE_TOKENS, PLACE_TOKENS, TURN_TOKENS

# Those that a demo can meet, in the order of their ids in Qwen2.5-VL.
SPECIAL_TOKENS = (*TURN_TOKENS, *PLACE_TOKENS, *IMAGE_TOKENS)
NUM_BINS = 16
X_TOKENS = tuple(f'<x{i}>' for i in range(NUM_BINS))
Y_TOKENS = tuple(f'<y{i}>' for i in range(NUM_BINS))

TEMPLATE_WORDS = ('system', 'user', 'assistant', 'You', 'are', 'a', 'helpful', 'Describe', 'Locate', 'the', 'shapes')

# The chat template of Qwen2.5-VL.
CHAT_TEMPLATE = (
    '{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}'
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "<|im_end|>\n{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in "
    "content or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}"
    "Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] "
    "== 'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}"
    "Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
    '<|im_start|>assistant\n{% endif %}'
)


def build_tokenizer(words: Iterable[str]) -> Qwen2Tokenizer:
    """Build the tokenizer: 256 bytes, then merges that make each word one token, bare and after a space.

    The merges are written down word by word instead of being counted on a corpus: what earlier merges leave of a word
    is joined left to right, at a lower priority, so earlier words stay whole. Other text is encoded in
    pieces and bytes.

    Args:
        words: the vocabulary, letters only. Other punctuation than a word's own letters never merges.
    """
    vocab = {symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    ranks: dict[tuple[str, str], int] = {}
    for word in dict.fromkeys([*TEMPLATE_WORDS, *words]):
        if not word.isalpha():
            raise ValueError(f'vocabulary words must be letters only, got {word!r}')
        for pieces in (list(word), ['Ġ', *word]):
            pieces = _apply_merges(pieces, ranks)
            while len(pieces) > 1:
                ranks[pieces[0], pieces[1]] = len(ranks)
                pieces = [pieces[0] + pieces[1], *pieces[2:]]
                vocab.setdefault(pieces[0], len(vocab))
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=list(ranks),
        additional_special_tokens=list(SPECIAL_TOKENS),
        eos_token='<|im_end|>',
        pad_token='<|endoftext|>',
        model_max_length=4096,
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in (*X_TOKENS, *Y_TOKENS)])
    tokenizer.chat_template = CHAT_TEMPLATE
    for word in words:
        assert len(tokenizer.tokenize(word)) == len(tokenizer.tokenize(f' {word}')) == 1, f'{word!r} is split'
    return tokenizer


def _apply_merges(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Encode as BPE does: merge the pair of the lowest rank until none is known."""
    while True:
        known = [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not known:
            return pieces
        _, i = min(known)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]


def build_processor(words: Iterable[str]) -> Qwen2_5_VLProcessor:
    """Wrap the tokenizer in Qwen2.5-VL's processor, for images from 56 x 56 to 448 x 448 px."""
    pixels = {'min_pixels': 56 * 56, 'max_pixels': 448 * 448}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=14, merge_size=2, temporal_patch_size=2, **pixels),
        tokenizer=build_tokenizer(words),
        video_processor=Qwen2VLVideoProcessor(patch_size=14, merge_size=2, temporal_patch_size=2, **pixels),
        chat_template=CHAT_TEMPLATE,
    )
