"""The token sequences of F-LMM's five models: what the configs make of image and phrases, against F-LMM's arithmetic.

F-LMM tokenizes the filled template as one text with the special tokens of its beginning, each phrase by itself, and '.'
between; here with the tokenizers library alone, on files laid out as the checkpoints' are on the hub.
"""

import json

import numpy as np
import pytest
import tiny_deepseek_vl
import tiny_llava
from PIL import Image
from published_f_lmm import CONFIGS
from tiny_refcoco import REPOSITORY
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from flmm.config import read_config
from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.models.published_lmms import PUBLISHED, published_config

PROMPT = 'Please give me a description of the image.'
VICUNA = f'USER: <image>\n{PROMPT} ASSISTANT:'
MISTRAL = f'[INST] <image>\n{PROMPT} [/INST]'
DEEPSEEK = f'User: {"<image_placeholder>" * 576}{PROMPT}\n\nAssistant:'
CASES = [
    ('frozen_llava_1_5_vicuna_7b', VICUNA, 'prepend'),
    ('frozen_llava_1_5_vicuna_7b', VICUNA, 'metaspace'),
    ('frozen_llava_next_vicuna_7b', VICUNA, 'prepend'),
    ('frozen_llava_next_mistral_7b', MISTRAL, 'prepend'),
    ('frozen_llava_next_mistral_7b', MISTRAL, 'metaspace'),
    ('frozen_deepseek_vl_1_3b_chat', DEEPSEEK, 'bytes'),
    ('frozen_deepseek_vl_7b_chat', DEEPSEEK, 'bytes'),
    ('frozen_deepseek_vl_7b_chat', DEEPSEEK, 'bytes without template'),
]
PHRASES = ['the cat', "Dog on the Woman's left", 'cat']
UTTERANCES = [('The cat', 0), (' sits on', -1), (' the Cat', 1), (', the', -1), (' dog', 2), ('.', -1)]
"""Of a caption of PNG, each with the phrase that it is."""


def sentencepiece_like(blanks):
    """Llama's and Mistral's: pieces with '▁' for a blank, bytes for the rest; 'prepend' is how older files say it."""
    letters = [chr(code) for code in range(33, 127)]
    merges = [('t', 'h'), ('th', 'e'), ('▁', 'the'), ('c', 'a'), ('ca', 't'), ('▁', 'cat'), ('▁', '.'), ('▁', 'd')]
    merges += [('U', 'S'), ('E', 'R'), ('US', 'ER'), ('▁', 'USER')]
    pieces = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256)), '▁', *letters]
    pieces += [first + second for first, second in merges]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=merges,
            unk_token='<unk>',
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if blanks == 'prepend':
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement='▁', prepend_scheme='first', split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
    names = ('<unk>', '<s>', '</s>', '<image>', '<pad>')
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    return tokenizer


def write_checkpoint(folder, lmm, kind):
    """Settings and tokenizer of an LMM as they lie on the hub; return the tokenizer as transformers 4 had it."""
    published_config(lmm).save_pretrained(folder)
    is_deepseek = kind.startswith('bytes')
    helper = tiny_deepseek_vl if is_deepseek else tiny_llava
    processor = helper.tiny_processor(PUBLISHED[lmm]['model_type'])
    processor.save_pretrained(folder)
    if is_deepseek:
        tokenizer, image_token = processor.tokenizer.backend_tokenizer, '<image_placeholder>'
        label = 'LlamaTokenizerFast'  # which it is not
        special = {'bos_token': tiny_deepseek_vl.BOS, 'eos_token': tiny_deepseek_vl.EOS}
    else:
        tokenizer, image_token, label = sentencepiece_like(kind), '<image>', 'LlamaTokenizer'
        special = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>', 'pad_token': '<pad>'}
    as_in_transformers_4 = Tokenizer.from_str(tokenizer.to_str())
    if kind == 'bytes without template':  # add_bos_token made one of it then, and is not read any more
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.save(str(folder / 'tokenizer.json'))
    settings = {
        **special,
        'tokenizer_class': label,
        'processor_class': type(processor).__name__,
        'image_token': image_token,
        'extra_special_tokens': {'image_token': image_token},
        'add_bos_token': True,
        'add_eos_token': False,
        'legacy': kind == 'prepend',
        'clean_up_tokenization_spaces': False,
    }
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings))
    return as_in_transformers_4


def read_as_published(name, kind, folder):
    """The last step of a published model's pipeline over files as they lie on the hub, and their tokenizer."""
    config = read_config(REPOSITORY / 'configs' / f'{CONFIGS[name]}.py')
    tokenizer = write_checkpoint(folder / 'lmm', config.model.lmm.name_or_path, kind)
    settings = config.test_dataloader.dataset.pipeline[-1].to_dict()
    settings.pop('type')
    settings['image_processor']['pretrained_model_name_or_path'] = str(folder / 'lmm')
    return RefCOCO2PNG(**settings), tokenizer


@pytest.mark.parametrize(('name', 'text', 'kind'), CASES, ids=[f'{name}-{kind}' for name, _, kind in CASES])
def test_the_whole_sequence_is_that_of_f_lmm(name, text, kind, tmp_path):
    to_sample, tokenizer = read_as_published(name, kind, tmp_path)
    image = Image.fromarray(np.zeros((48, 64, 3), dtype=np.uint8))
    sample = to_sample.transform(unlabelled_item(image, PHRASES))

    is_deepseek = kind.startswith('bytes')
    image_id = tokenizer.token_to_id('<image_placeholder>' if is_deepseek else '<image>')
    ids = tokenizer.encode(text).ids
    if not is_deepseek:  # the model makes many of the one; here they stand in the text
        place = ids.index(image_id)
        count = to_sample.image_processor.num_image_tokens(48, 64)
        ids = [*ids[:place], *[image_id] * count, *ids[place + 1 :]]
    mask_ids = [-1] * len(ids)
    for index, phrase in enumerate(PHRASES):
        words = tokenizer.encode(phrase.lower(), add_special_tokens=False).ids
        ids += [*words, tokenizer.encode('.', add_special_tokens=False).ids[-1]]
        mask_ids += [index] * len(words) + [-1]
    # F-LMM's last '.', which nothing reads, is left out.
    assert sample.input_ids.tolist() == ids[:-1]
    assert sample.mask_ids.tolist() == mask_ids[:-1]
    bos = tiny_deepseek_vl.BOS if is_deepseek else '<s>'
    assert ids[0] == tokenizer.token_to_id(bos)
    assert ids.count(ids[0]) == 1


@pytest.mark.parametrize(('name', 'kind'), [(name, kind) for name, _, kind in CASES])
def test_a_caption_of_png_is_that_of_f_lmm(name, kind, tmp_path):
    """Its parts are tokenized each by itself as they stand, with nothing between."""
    to_sample, tokenizer = read_as_published(name, kind, tmp_path)
    phrases = [text for text, number in UTTERANCES if number >= 0]
    item = unlabelled_item(Image.fromarray(np.zeros((48, 64, 3), dtype=np.uint8)), phrases)
    caption = [text if number < 0 else number for text, number in UTTERANCES]

    sample = to_sample.transform({**item, 'caption': caption})

    ids, mask_ids = [], []
    for text, number in UTTERANCES:
        words = tokenizer.encode(text, add_special_tokens=False).ids
        ids += words
        mask_ids += [number] * len(words)
    assert sample.input_ids[-len(ids) :].tolist() == ids
    assert sample.mask_ids[-len(ids) :].tolist() == mask_ids
    prompt = to_sample.transform(item)
    start = len(sample.input_ids) - len(ids)
    assert sample.input_ids[:start].equal(prompt.input_ids[:start])
    assert (sample.mask_ids[:start] == -1).all()


def test_older_and_newer_files_differ_behind_the_image():
    """Else the cases above would not tell them apart: older ones begin the text behind a special token with a blank."""
    older, newer = (sentencepiece_like(kind).encode(VICUNA).tokens for kind in ('prepend', 'metaspace'))
    assert older[older.index('<image>') + 1 :][:2] == ['▁', '<0x0A>']
    assert newer[newer.index('<image>') + 1] == '<0x0A>'
