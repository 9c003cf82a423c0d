"""What a line of one's own data must be (:class:`flmm.datasets.JsonLinesDataset`)."""

import difflib
import reprlib
from collections.abc import Collection
from typing import Any

from flmm.datasets.annotation_file import ID_FORM, is_id, is_length
from flmm.json_files import brief
from flmm.text import check_text, prepare_phrase

LINE_KEYS = ('image', 'id', 'height', 'width', 'split', 'phrases', 'caption')
MASK_FORMS = {
    'polygons': 'a list of polygons, each a list [x, y, x, y, ...] in px',
    'rle': "COCO's RLE, an object with size [height, width] and counts",
    'png': 'the path of a PNG file',
}
"""Key -> what its value is."""
PHRASE_KEYS = ('phrase', *MASK_FORMS, 'no_target', 'ignore', 'kind', 'thing', 'plural')


def check_line(line: Any, *, where: str) -> None:
    """Check all of a line but what is in its phrases.

    Args:
        line: the value of a line.
        where: names line and file, for messages.

    Raises:
        ValueError: a key is unknown or missing, or a value is not what its key asks for.
    """
    if not isinstance(line, dict):
        raise ValueError(f'{where} is {reprlib.repr(line)}, expected an object; write one for each image, a line each')
    _check_keys(line, known=LINE_KEYS, needed=('image', 'phrases'), where=where)
    if not isinstance(line['image'], str) or not line['image']:
        raise _unexpected('image', line['image'], 'the path of a picture below the image folder', where=where)
    if line.get('id') is not None and not is_id(line['id']):
        raise _unexpected('id', line['id'], ID_FORM, where=where)
    if line.get('split') is not None and (not isinstance(line['split'], str) or not line['split']):
        raise _unexpected('split', line['split'], "a string such as 'train'", where=where)
    if (line.get('height') is None) != (line.get('width') is None):
        raise ValueError(f'{where} has only one of height and width; give both, or neither')
    for key in ('height', 'width'):
        if line.get(key) is not None and not is_length(line[key]):
            raise _unexpected(key, line[key], 'an integer above 0, in px', where=where)
    if not isinstance(line['phrases'], list):
        raise _unexpected('phrases', line['phrases'], 'a list of objects', where=where)
    if not line['phrases']:
        raise ValueError(f'{where} has no phrase; leave the image out')
    if line.get('caption') is not None:
        _check_caption(line['caption'], line['phrases'], where=where)


def check_phrase(phrase: Any, *, where: str) -> None:
    """Check one of the phrases of a line, but not what its masks draw.

    Args:
        phrase: what stands in the list.
        where: names phrase, line and file, for messages.

    Raises:
        ValueError: a key is unknown or missing, or a value is not what its key asks for; it has neither a mask nor
            ``no_target``, or both.
    """
    if not isinstance(phrase, dict):
        raise ValueError(f'{where} is {reprlib.repr(phrase)}, expected an object with the keys phrase and {_FORMS}')
    _check_keys(phrase, known=PHRASE_KEYS, needed=('phrase',), where=where)
    _check_texts(phrase, where=where)
    for key in ('no_target', 'thing', 'plural'):
        if phrase.get(key) is not None and not isinstance(phrase[key], bool):
            raise _unexpected(key, phrase[key], 'true or false', where=where)
    given = [key for key in MASK_FORMS if key in phrase]
    if phrase.get('no_target') and given:
        raise ValueError(f'{where} has no_target and {", ".join(given)}; leave out what is wrong')
    if not phrase.get('no_target') and not given:
        raise ValueError(f'{where} has no mask; give {_FORMS}, or "no_target": true if the image does not show it')
    _check_masks(phrase, where=where)
    ignore = phrase.get('ignore')
    if ignore is not None:
        if not isinstance(ignore, dict) or not ignore:
            raise _unexpected('ignore', ignore, f'an object with {_FORMS}', where=where)
        _check_keys(ignore, known=MASK_FORMS, needed=(), where=f'ignore of {where}')
        _check_masks(ignore, where=f'ignore of {where}')


_FORMS = 'polygons, rle or png'


def _check_caption(caption: Any, phrases: list, *, where: str) -> None:
    is_list = isinstance(caption, list)
    if not is_list or not all(isinstance(piece, (str, int)) and not isinstance(piece, bool) for piece in caption):
        raise _unexpected('caption', caption, 'a list of strings and of numbers of phrases, from 0', where=where)
    numbers = [piece for piece in caption if isinstance(piece, int)]
    if sorted(numbers) != list(range(len(phrases))):
        raise ValueError(
            f'{where} has a caption of phrases {brief(numbers)}, expected each from 0 to {len(phrases) - 1}'
        )
    if any(isinstance(phrase, dict) and isinstance(phrase.get('phrase'), list) for phrase in phrases):
        raise ValueError(f'{where} has a caption, and a list for phrase; write there the string that the caption has')
    try:
        for piece in caption:
            check_text(str(piece))
    except ValueError as error:
        raise ValueError(f"{where}, key 'caption': {error}") from error


def _check_texts(phrase: dict, *, where: str) -> None:
    texts = [phrase['phrase']] if isinstance(phrase['phrase'], str) else phrase['phrase']
    if not isinstance(texts, list) or not texts:
        raise _unexpected('phrase', texts, 'a string, or several in a list', where=where)
    try:
        for text in texts:
            prepare_phrase(text, lowercase=True)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from error
    kinds = phrase.get('kind')
    if isinstance(kinds, list) and len(kinds) != len(texts):
        raise ValueError(f'{where} has {len(kinds)} kinds for {len(texts)} strings of phrase; give one each, or one')
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind is not None and (not isinstance(kind, str) or not kind):
            raise _unexpected('kind', kind, "a string such as 'colour'", where=where)


def _check_masks(masks: dict, *, where: str) -> None:
    for key, kind in (('polygons', list), ('rle', dict), ('png', str)):
        if key in masks and not isinstance(masks[key], kind):
            raise _unexpected(key, masks[key], MASK_FORMS[key], where=where)
    size = masks['rle'].get('size') if 'rle' in masks else [1, 1]
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_length, size)):
        raise _unexpected('rle', masks['rle'], MASK_FORMS['rle'], where=where)


def _check_keys(entry: dict, *, known: Collection[str], needed: Collection[str], where: str) -> None:
    for key in entry:
        if key not in known:
            nearest = difflib.get_close_matches(key.casefold(), known, n=1)
            hint = f'did you mean {nearest[0]!r}?' if nearest else f'known are {", ".join(known)}'
            raise ValueError(f'{where} has the unknown key {key!r}; {hint}')
    for key in needed:
        if key not in entry:
            raise ValueError(f'{where} has no {key!r}; add it')


def _unexpected(key: str, value: Any, expected: str, *, where: str) -> ValueError:
    return ValueError(f'{where} has {key} {reprlib.repr(value)}, expected {expected}')
