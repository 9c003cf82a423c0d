"""Noun phrases without a trained parser: by lists of words and by endings."""

import re
import unicodedata
from collections.abc import Iterator

from flmm.chat import vocabulary as lists
from flmm.chat.spans import Span

WORD = re.compile(r"[^\W_]+(?:[-'’/][^\W_]+)*")
"""Letters and digits, with hyphens, apostrophes and slashes between them."""

DETERMINER, MODIFIER, NOUN, OTHER = 'determiner', 'modifier', 'noun', 'other'
"""What a word is in a phrase. A possessive ('the dog's') is a determiner; OTHER is in no phrase."""

_ADJECTIVE_ENDINGS = ('ful', 'ous', 'ive', 'able', 'ible', 'ish', 'less', 'colored', 'coloured')
_SINGULAR_OR_ALONE = frozenset(('this', 'that', 'one', 'each', 'another'))
_NEVER_BEFORE_A_VERB = lists.DETERMINERS - lists.PRONOUNS
_FUNCTION_WORDS = (
    lists.PREPOSITIONS | lists.CONJUNCTIONS | lists.BE_AND_MODALS | lists.HAVE | lists.DETERMINERS | lists.PRONOUNS
)
_QUANTITIES = frozenset(('few', 'many', 'much'))
_JOINTS = frozenset((',', 'and', 'or', 'but'))


def word_chunks(text: str) -> Iterator[Span]:
    """Split English text into noun phrases, each a determiner, then adjectives, then nouns.

    Each word is judged from left to right by the closed lists of ``flmm/chat/vocabulary.py``, by its ending, by the word
    before and the word behind. A word that no list and no ending knows is a noun. A form of a verb is a verb, unless it
    stands where a noun is due ('a stop', 'a smiling woman', 'with lights'). Verbs that are not in the list are taken for
    nouns, and an adjective that is not in the list, behind 'is', for a phrase of its own: these are its commonest errors.

    The same text always gives the same phrases. Against hand-marked sentences: ``tests/chat/test_words.py``.

    Args:
        text: English; characters that are no letter of the Latin script or digit split phrases.

    Yields:
        The phrases in order. They do not overlap.
    """
    matches = [match for match in re.finditer(rf'{WORD.pattern}|[^\w\s]', text)]
    tokens = [match[0].lower().replace('’', "'") for match in matches]
    phrase: list[int] = []
    kinds: list[str] = []
    for place in range(len(tokens)):
        kind = _kind(tokens, place, kinds)
        if kind == OTHER and kinds and _joins_adjectives(tokens, place, kinds):
            continue
        if kind == OTHER or (kind == DETERMINER and kinds and kinds[-1] in (NOUN, MODIFIER)):
            yield from _phrase(matches, phrase, kinds)
            phrase, kinds = [], []
        if kind != OTHER:
            phrase.append(place)
            kinds.append(kind)
            if tokens[place].endswith("'s"):
                kinds[-1] = DETERMINER
    yield from _phrase(matches, phrase, kinds)


def _phrase(matches: list[re.Match], phrase: list[int], kinds: list[str]) -> Iterator[Span]:
    """Yield the phrase, if it has a noun, or a determiner before adjectives ('the young')."""
    if NOUN in kinds:
        last = len(kinds) - 1 - kinds[::-1].index(NOUN)
    elif DETERMINER in kinds and MODIFIER in kinds:
        last = len(kinds) - 1
    else:
        return
    yield Span(matches[phrase[0]].start(), matches[phrase[last]].end())


def _joins_adjectives(tokens: list[str], place: int, kinds: list[str]) -> bool:
    """Say whether a comma or 'and' stands between two adjectives of one phrase: 'a black and white cat'."""
    if kinds[-1] != MODIFIER or tokens[place] not in _JOINTS:
        return False
    following = place + 1
    while following < len(tokens) and tokens[following] in _JOINTS:
        following += 1
    return following < len(tokens) and _kind(tokens, following, kinds) == MODIFIER


def _kind(tokens: list[str], place: int, kinds: list[str]) -> str:
    """Judge one word by itself, the phrase before it and the word behind it."""
    word = tokens[place]
    previous = tokens[place - 1] if place else ''
    behind = tokens[place + 1] if place + 1 < len(tokens) else ''
    noun_is_due = bool(kinds) and kinds[-1] in (DETERMINER, MODIFIER)
    behind_noun = bool(kinds) and kinds[-1] == NOUN
    noun_follows = bool(WORD.match(behind)) and behind not in _FUNCTION_WORDS and behind not in lists.ADVERBS

    if not WORD.match(word) or not word.isascii() and not _is_latin(word):
        return OTHER
    if word == 'that' and behind_noun:
        return OTHER  # 'a bus that stops'
    is_very_many = word in lists.INTENSIFIERS and behind in _QUANTITIES
    if is_very_many or word in lists.DETERMINERS or word in lists.NUMBERS or word[0].isdigit():
        return DETERMINER
    if word == 'can' and not noun_is_due:
        is_modal = behind in lists.VERBS or behind in lists.ADVERBS or behind == 'not'
        return OTHER if is_modal or not behind_noun else NOUN
    if word in lists.MODIFIERS_OR_NOUNS and (noun_is_due and noun_follows or behind_noun):
        return MODIFIER if noun_is_due else NOUN
    if noun_is_due and noun_follows and word in lists.ADVERBS | lists.INTENSIFIERS | lists.ADJECTIVES:
        return MODIFIER
    if word in (
        lists.PREPOSITIONS | lists.CONJUNCTIONS | lists.BE_AND_MODALS | lists.HAVE | lists.PRONOUNS | lists.ADVERBS
    ):
        return OTHER
    looks_like_adjective = word.endswith(_ADJECTIVE_ENDINGS) and word not in lists.NOUNS_WITH_ENDINGS_OF_ADJECTIVES
    if looks_like_adjective or word in lists.ADJECTIVES or word in lists.ADJECTIVES_IN_LY:
        return OTHER if behind_noun else MODIFIER
    if word in lists.INTENSIFIERS or word.endswith('ly') and word not in lists.NOUNS_IN_LY:
        return MODIFIER if noun_follows and not behind_noun and behind.endswith(('ed', 'ing', 'y')) else OTHER
    if word.endswith('ing') and len(word) > 4 and word not in lists.NOUNS_IN_ING:
        if behind in lists.HEADS_OF_ING:
            return NOUN
        return (MODIFIER if noun_follows else NOUN) if noun_is_due else OTHER
    if word in lists.IRREGULAR_PASTS or word.endswith('ed') and len(word) > 4 and word not in lists.NOUNS_IN_ED:
        if noun_is_due:
            return MODIFIER if noun_follows else NOUN
        is_verb = behind_noun or not noun_follows or previous in lists.BE_AND_MODALS | lists.PRONOUNS
        return OTHER if is_verb else MODIFIER
    if word in lists.VERBS or word in lists.THIRD_PERSONS:
        return OTHER if _is_verb(word, previous, behind, kinds) else NOUN
    return NOUN


def _is_verb(word: str, previous: str, behind: str, kinds: list[str]) -> bool:
    """Judge a word that is a verb or a noun: 'walks', 'light'."""
    third_person = word in lists.THIRD_PERSONS
    if kinds and kinds[-1] in (DETERMINER, MODIFIER):
        # Verbs agree in number with what stands before them, nouns with their determiner.
        return third_person and previous in _SINGULAR_OR_ALONE
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
    return word in lists.PLURALS or word.endswith('s') and not word.endswith(('ss', 'us', 'is'))


def _is_latin(word: str) -> bool:
    return all(unicodedata.name(letter, '').startswith('LATIN') for letter in word if letter.isalpha())
