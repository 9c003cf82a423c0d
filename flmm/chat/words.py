"""Noun phrases without a trained parser: by lists of words and by endings."""

import re
import unicodedata
from collections.abc import Iterator

from flmm.chat import vocabulary as lists
from flmm.chat.spans import Span

WORD = re.compile("[^\\W_]+(?:[-'\u2019/][^\\W_]+)*")
"""Letters and digits, with hyphens, apostrophes and slashes between them."""

DETERMINER, MODIFIER, NOUN, OTHER = 'determiner', 'modifier', 'noun', 'other'
"""What a word is in a phrase. A possessive ('the dog's') is a determiner; OTHER is in no phrase."""

_JOINTS = frozenset((',', 'and', 'or', 'but'))
_ENDINGS_OF_ADJECTIVES = ('ful', 'ous', 'ive', 'able', 'ible', 'ish', 'ic', 'less', 'colored', 'coloured')
_COLOURS_OR_NOUNS = frozenset(('orange', 'gold', 'silver'))
_SINGULAR_OR_ALONE = frozenset(('this', 'that', 'one', 'each', 'another'))
_ALL_OF_THEM = frozenset(('all', 'both', 'each', 'either', 'neither'))
_BETWEEN_PHRASES = lists.PREPOSITIONS | lists.CONJUNCTIONS | lists.BE_AND_MODALS | lists.HAVE | lists.PRONOUNS
_NO_NOUN = _BETWEEN_PHRASES | lists.DETERMINERS | lists.ADVERBS


def word_chunks(text: str) -> Iterator[Span]:
    """Split English text into noun phrases, each a determiner, then adjectives, then nouns.

    Words are judged from left to right by the lists of ``flmm/chat/vocabulary.py``, by their endings, by the word
    before and by the word behind. A word that no list and no ending knows is a noun. A form of a verb is a verb, unless
    it stands where a noun is due ('a stop', 'a smiling woman', 'with lights').

    What goes wrong most often: a verb that is not in the list is taken for a noun, an adjective behind its noun for a
    phrase of its own, and a plural possessive ('the dogs' leashes') for two phrases.

    The same text always gives the same phrases. How many are right: ``tests/chat/test_words.py``.

    Args:
        text: English. Characters that are neither a Latin letter nor a digit split phrases.

    Yields:
        The phrases in order. They do not overlap.
    """
    matches = list(re.finditer(rf'{WORD.pattern}|[^\w\s]', text))
    tokens = [match[0].lower().replace('\u2019', "'") for match in matches]
    phrase: list[int] = []
    kinds: list[str] = []
    for place in range(len(tokens)):
        kind = _kind(tokens, place, kinds)
        if kind == OTHER and _joins_adjectives(tokens, place, kinds):
            continue
        if kind == OTHER or (kind == DETERMINER and kinds and kinds[-1] != DETERMINER):
            yield from _phrase(matches, phrase, kinds)
            phrase, kinds = [], []
        if kind != OTHER:
            phrase.append(place)
            kinds.append(DETERMINER if tokens[place].endswith("'s") else kind)
    yield from _phrase(matches, phrase, kinds)


def is_latin(letter: str) -> bool:
    """Say whether a letter is of the Latin script."""
    return unicodedata.name(letter, '').startswith('LATIN')


def _phrase(matches: list[re.Match], phrase: list[int], kinds: list[str]) -> Iterator[Span]:
    """Yield the phrase up to its last noun; without one, only what may be a noun behind a determiner: 'an orange'."""
    if NOUN in kinds:
        last = len(kinds) - 1 - kinds[::-1].index(NOUN)
    elif DETERMINER in kinds and matches[phrase[-1]][0].lower() in lists.MODIFIERS_OR_NOUNS:
        last = len(kinds) - 1
    else:
        return
    yield Span(matches[phrase[0]].start(), matches[phrase[last]].end())


def _joins_adjectives(tokens: list[str], place: int, kinds: list[str]) -> bool:
    """Say whether a comma or 'and' stands between two adjectives of one phrase: 'a black and white cat'."""
    if not kinds or kinds[-1] != MODIFIER or tokens[place] not in _JOINTS:
        return False
    following = place + 1
    while following < len(tokens) and tokens[following] in _JOINTS:
        following += 1
    return following < len(tokens) and _kind(tokens, following, kinds) == MODIFIER


def _kind(tokens: list[str], place: int, kinds: list[str]) -> str:
    """Judge one word by itself, the phrase so far and the words around it. The first rule that fits decides."""
    word = tokens[place]
    previous = tokens[place - 1] if place else ''
    behind = tokens[place + 1] if place + 1 < len(tokens) else ''
    due = bool(kinds) and kinds[-1] != NOUN  # a noun has to come
    behind_noun = bool(kinds) and kinds[-1] == NOUN
    noun_follows = bool(WORD.match(behind)) and behind not in _NO_NOUN

    if not WORD.match(word) or not all(is_latin(letter) for letter in word if letter.isalpha()):
        return OTHER
    if word == 'that' and (behind_noun or behind in lists.DETERMINERS | lists.PRONOUNS):
        return OTHER  # 'a bus that stops', 'it seems that the bus stops'
    if word in lists.INTENSIFIERS and behind in ('few', 'many', 'much'):
        return DETERMINER
    if word in lists.NUMBERS or word[0].isdigit():
        is_within = due and kinds[-1] == MODIFIER and previous not in _JOINTS  # 'the first two rows'
        return MODIFIER if is_within else DETERMINER
    if word in lists.DETERMINERS:
        return DETERMINER
    if word == 'can' and not due:
        is_modal = behind in lists.VERBS or behind in lists.ADVERBS or behind == 'not'
        return NOUN if behind_noun and not is_modal else OTHER
    if word in lists.MODIFIERS_OR_NOUNS and behind_noun:
        return NOUN
    if word in lists.MODIFIERS_OR_NOUNS - _COLOURS_OR_NOUNS and due and not noun_follows and behind not in _JOINTS:
        return NOUN
    if due and noun_follows and word in lists.ADVERBS | lists.INTENSIFIERS | lists.ADJECTIVES:
        return MODIFIER
    if word in _BETWEEN_PHRASES or word in lists.ADVERBS:
        return OTHER
    if _is_adjective(word):
        return OTHER if behind_noun and (word in lists.VERBS or not noun_follows) else MODIFIER
    if word in lists.INTENSIFIERS or (word.endswith('ly') and word not in lists.NOUNS_IN_LY):
        is_within = due or behind.endswith('ed') or _is_adjective(behind)
        return MODIFIER if is_within and noun_follows and not behind_noun else OTHER
    if word.endswith('ing') and len(word) > 4:
        if behind in lists.HEADS_OF_ING or (word in lists.NOUNS_IN_ING and (due or behind not in lists.DETERMINERS)):
            return NOUN
        return _participle(previous, kinds, noun_follows=noun_follows)
    if word in lists.IRREGULAR_PASTS or (word.endswith('ed') and len(word) > 4 and word not in lists.NOUNS_IN_ED):
        if not kinds and noun_follows and previous not in lists.BE_AND_MODALS | lists.PRONOUNS:
            return MODIFIER
        return _participle(previous, kinds, noun_follows=noun_follows)
    if word in lists.VERBS or word in lists.THIRD_PERSONS:
        return OTHER if _is_verb(word, previous, behind, kinds) else NOUN
    is_property = not kinds and previous in lists.COPULAS and not noun_follows and not _is_plural(word)
    return OTHER if is_property and 'there' not in tokens[max(place - 2, 0) : place] else NOUN


def _is_adjective(word: str) -> bool:
    if word in lists.ADJECTIVES or word in lists.ADJECTIVES_IN_LY:
        return True
    return word.endswith(_ENDINGS_OF_ADJECTIVES) and word not in lists.NOUNS_WITH_ENDINGS_OF_ADJECTIVES


def _participle(previous: str, kinds: list[str], *, noun_follows: bool) -> str:
    """Judge a word in -ing or -ed: 'a smiling woman', 'a woman smiling', 'a drawing', 'both smiling'."""
    if not kinds or kinds[-1] == NOUN:
        return OTHER
    if noun_follows and previous not in _ALL_OF_THEM:
        return MODIFIER
    return NOUN if DETERMINER in kinds and previous not in lists.PRONOUNS else OTHER


def _is_verb(word: str, previous: str, behind: str, kinds: list[str]) -> bool:
    """Judge a word that is a verb or a noun: 'walks', 'light'. Verbs agree in number with the noun before them."""
    third_person = word in lists.THIRD_PERSONS
    if kinds and kinds[-1] != NOUN:
        return previous in (_SINGULAR_OR_ALONE if third_person else _ALL_OF_THEM)
    if kinds and word in lists.NOUNS_BEFORE_VERBS and (third_person or not _is_plural(previous)):
        return behind in lists.DETERMINERS
    if kinds:
        return third_person or _is_plural(previous)
    if previous in lists.PREPOSITIONS and previous != 'to':
        return False
    if previous in ('', '.', ':', ';', '*') or previous in lists.HAVE:
        return behind in lists.DETERMINERS
    if previous in lists.THIRD_PERSONS or previous.endswith('ing'):
        return False  # its object
    return word not in lists.NOUNS_BEFORE_VERBS or previous in lists.PRONOUNS | lists.BE_AND_MODALS | {'to'}


def _is_plural(word: str) -> bool:
    return word in lists.PLURALS or (word.endswith('s') and not word.endswith(('ss', 'us', 'is')))
