"""Which characters tokens are, against tokenizers and against a walk over the bytes of the tokens."""

import itertools
import random

import pytest
import tiny_models
from tiny_llava import tiny_tokenizer
from tiny_refcoco import REPOSITORY
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, TokenizersBackend

from flmm.chat import num_alike, token_offsets


def _backend(model, pre_tokenizer, decoder, **settings):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoder
    return TokenizersBackend(tokenizer_object=tokenizer, **settings)


def across_characters():
    """Byte-level BPE with tokens that begin or end within a character: bytes 2-3 of one and byte 1 of the next."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte = {bytes([number]): symbol for number, symbol in _byte_symbols().items()}
    two, dogs = '两'.encode(), '狗'.encode()
    middle, last, first = byte[two[1:2]], byte[two[2:3]], byte[dogs[0:1]]
    merges = [(middle, last), (middle + last, first)]
    vocab = {symbol: index for index, symbol in enumerate([*sorted(alphabet), *map(''.join, merges)])}
    pieces = models.BPE(vocab=vocab, merges=merges)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return _backend(pieces, split, decoders.ByteLevel())


def _byte_symbols():
    """GPT-2's: printable bytes stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in printable]
    return {number: chr(number) for number in printable} | {number: chr(256 + i) for i, number in enumerate(others)}


def metaspace():
    """Like sentencepiece: a blank is a mark before a word, and characters that are not known are bytes."""
    words = ['▁', '▁The', '▁cat', '▁sat', 's', 'c', 'a', 't', '.', '▁a', '狗']
    vocab = {token: -float(len(words) - i) for i, token in enumerate(words)}
    vocab |= {f'<0x{byte:02X}>': -50.0 for byte in range(256)}
    pieces = models.Unigram([('<unk>', -100.0), *vocab.items()], unk_id=0, byte_fallback=True)
    decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)]
    )
    return _backend(pieces, pre_tokenizers.Metaspace(prepend_scheme='first'), decoder, unk_token='<unk>')


def words_only():
    vocab = {word: index for index, word in enumerate(['<unk>', 'The', 'cat', 'sat', 'a', '狗', '.'])}
    return _backend(
        models.WordLevel(vocab, unk_token='<unk>'), pre_tokenizers.WhitespaceSplit(), None, unk_token='<unk>'
    )


TOKENIZERS = {
    'bytes': lambda: tiny_models.tiny_processor().tokenizer,
    'llama': tiny_tokenizer,
    'demo': lambda: AutoTokenizer.from_pretrained(REPOSITORY / 'assets' / 'demo_lmm'),
    'across characters': across_characters,
    'metaspace': metaspace,
}
TEXTS = [
    'The cat sat.',
    'a  red   circle\n\nand a\tstar ',
    '两只狗 在 grass 上',
    'a 😀😀 cat 👩‍👩‍👧',
    'café caf\u00e9 na\u00efve \u0301x',
    '🇩🇪两狗a两狗',
    'x',
]
"""Composed, as some tokenizers compose what they are given."""


@pytest.fixture(scope='module', params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def held(text, offsets):
    """The places of what a token holds, blanks left out: tokenizers count them to either side."""
    return [[place for place in range(start, end) if not text[place].isspace()] for start, end in offsets]


def by_bytes(tokens, text):
    """The places of the characters whose bytes each token has."""
    byte_of = {symbol: number for number, symbol in _byte_symbols().items()}
    if any('▁' in token for token in tokens):  # the blank before the text is not of it
        parts = [
            bytes([int(token[3:5], 16)]) if token.startswith('<0x') else token.replace('▁', ' ').encode()
            for token in tokens
        ]
        parts[0] = parts[0][1:]
    else:
        parts = [bytes(byte_of[symbol] for symbol in token) for token in tokens]
    assert b''.join(parts).decode() == text
    places = [place for place, character in enumerate(text) for _ in character.encode()]
    ends = [0, *itertools.accumulate(map(len, parts))]
    found = [sorted(set(places[start:end])) for start, end in itertools.pairwise(ends)]
    return [[place for place in each if not text[place].isspace()] for each in found]


@pytest.mark.parametrize('text', TEXTS)
def test_a_token_holds_the_characters_whose_bytes_it_has(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)['input_ids']
    offsets, decoded = token_offsets(ids, tokenizer)
    assert decoded == text
    assert held(text, offsets) == by_bytes(tokenizer.convert_ids_to_tokens(ids), text)


@pytest.mark.parametrize('name', ['bytes', 'demo', 'across characters'])
def test_offsets_are_those_of_tokenizers_over_bytes(name):
    """Others count the blank before a text to its first character, and take characters of bytes together."""
    tokenizer = TOKENIZERS[name]()
    for text in TEXTS:
        split = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets, _ = token_offsets(split['input_ids'], tokenizer)
        assert held(text, offsets) == held(text, split['offset_mapping'])


def test_a_tokenizer_of_words():
    tokenizer = words_only()
    split = tokenizer('The cat sat a 狗 .', add_special_tokens=False, return_offsets_mapping=True)
    offsets, decoded = token_offsets(split['input_ids'], tokenizer)
    assert decoded == 'The cat sat a 狗 .'
    assert offsets == [(0, 3), (3, 7), (7, 11), (11, 13), (13, 15), (15, 17)]
    assert held(decoded, offsets) == held(decoded, split['offset_mapping'])


def test_a_token_across_characters_holds_both():
    tokenizer = across_characters()
    ids = tokenizer('两狗', add_special_tokens=False)['input_ids']
    assert len(ids) == 4  # byte 1; bytes 2, 3 and 1; byte 2; byte 3
    assert token_offsets(ids, tokenizer) == ([(0, 1), (0, 2), (1, 2), (1, 2)], '两狗')


def check_pieces(offsets, text):
    """They are in order, and what each adds to those before it is the text."""
    pieces, done = [], 0
    for start, end in offsets:
        assert 0 <= start <= done <= end <= len(text)
        pieces.append(text[done:end])
        done = end
    assert ''.join(pieces) == text


def test_pieces_of_a_text_that_was_cut_anywhere_join_to_it(tokenizer):
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)['input_ids']
        full, _ = token_offsets(ids, tokenizer)
        for length in range(len(ids) + 1):
            offsets, cut = token_offsets(ids[:length], tokenizer)
            assert cut == tokenizer.decode(ids[:length])
            check_pieces(offsets, cut)
            if text.startswith(cut):  # cut between characters
                assert offsets == full[:length]


def test_pieces_of_any_tokens_join_to_their_text(tokenizer):
    draw = random.Random(0)
    for _ in range(100):
        ids = [draw.randrange(len(tokenizer)) for _ in range(draw.randrange(1, 25))]
        offsets, text = token_offsets(ids, tokenizer)
        assert len(offsets) == len(ids)
        assert text == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        check_pieces(offsets, text)


def test_special_tokens_are_written_out():
    tokenizer = TOKENIZERS['demo']()
    ids = tokenizer('<|object_ref_start|>the cat<|object_ref_end|>')['input_ids']
    offsets, text = token_offsets(ids, tokenizer)
    assert text == '<|object_ref_start|>the cat<|object_ref_end|>'
    assert offsets[0] == (0, 20)
    assert offsets[-1] == (27, 45)


def test_no_tokens():
    assert token_offsets([], tiny_tokenizer()) == ([], '')


@pytest.mark.parametrize(
    ('one', 'other', 'expected'), [('abc', 'abd', 2), ('ab', 'abc', 2), ('', 'a', 0), ('x', 'y', 0)]
)
def test_num_alike(one, other, expected):
    assert num_alike(one, other) == num_alike(other, one) == expected


def by_definition(token_ids, tokenizer):
    """Decode everything up to each token: quadratic in the number of tokens."""

    def decode(count):
        return tokenizer.decode(token_ids[:count], skip_special_tokens=False, clean_up_tokenization_spaces=False)

    text, offsets, done = decode(len(token_ids)), [], 0
    for count in range(1, len(token_ids) + 1):
        decoded, start = decode(count), done
        if text.startswith(decoded):
            done = end = max(done, len(decoded))
        else:
            done = max(done, num_alike(decoded, text))
            end = min(done + 1, len(text))
        offsets.append((start, end))
    return offsets, text


def test_offsets_are_those_of_decoding_from_the_beginning(tokenizer):
    draw = random.Random(1)
    split = [tokenizer(text, add_special_tokens=False)['input_ids'] for text in [*TEXTS, ''.join(TEXTS)]]
    cut = [ids[start:stop] for ids in split for start in range(3) for stop in range(len(ids) + 1)]
    mixed = [draw.choices([token for ids in split for token in ids], k=30) for _ in range(100)]
    any_tokens = [draw.choices(range(len(tokenizer)), k=30) for _ in range(100)]
    for ids in [*cut, *mixed, *any_tokens]:
        assert token_offsets(ids, tokenizer) == by_definition(ids, tokenizer)


def test_the_work_grows_with_the_answer_and_not_with_its_square(tokenizer):
    """As the number of tokens that are decoded."""
    decoded = []

    class Counting:
        def decode(self, token_ids, **settings):
            decoded.append(len(token_ids))
            return tokenizer.decode(token_ids, **settings)

    ids = tokenizer(' '.join(TEXTS), add_special_tokens=False)['input_ids']
    work = []
    for times in (5, 10):
        decoded.clear()
        token_offsets(ids * times, Counting())
        work.append(sum(decoded))
    assert work[1] < 2.1 * work[0]
    assert work[1] < 20 * len(ids) * 10
