"""A reader of sentences about scenes of shapes that goes by their text alone, not by flmm's semantic form."""

import re

from flmm.shapes import COLOURS, KINDS

LARGE = {'big', 'large', 'biggest', 'largest', 'bigger', 'larger'}
SMALL = {'small', 'smallest', 'smaller'}
COMPARATIVES = {'bigger', 'larger', 'smaller'}
SIDES = {'left': (-1, 0), 'leftmost': (-1, 0), 'right': (1, 0), 'rightmost': (1, 0), 'top': (0, -1), 'bottom': (0, 1)}
DIRECTIONS = {'left of': (-1, 0), 'right of': (1, 0), 'above': (0, -1), 'below': (0, 1)}


def read_noun(words, scene):
    found = set(range(len(scene.shapes)))
    for word in words:
        if word in COLOURS:
            found = {i for i in found if scene.shapes[i].colour == word}
        elif word in KINDS:
            found = {i for i in found if scene.shapes[i].kind == word}
        else:
            assert word == 'shape', word
    assert words[-1] == 'shape' or words[-1] in KINDS
    return found


def along(scene, index, direction):
    x, y = scene.shapes[index].centre
    return x / scene.width * direction[0] + y / scene.height * direction[1]


def read(text, scene):
    """Shapes that a sentence means, and its kind; raises on text that it can't read."""
    text = re.sub('^the ', '', text)
    if match := re.fullmatch(r'(.+?) (?:to the )?(left of|right of|above|below) the (.+)', text):
        noun, relation, anchor = match.groups()
        (anchor,) = read_noun(anchor.split(), scene)
        limit = along(scene, anchor, DIRECTIONS[relation])
        found = read_noun(noun.split(), scene)
        return {i for i in found if along(scene, i, DIRECTIONS[relation]) > limit}, 'comparison'
    if match := re.fullmatch(r'(.+) (?:on the (left|right)|at the (top|bottom))', text):
        direction = SIDES[match[2] or match[3]]
        found = read_noun(match[1].split(), scene)
        return {max(found, key=lambda i: along(scene, i, direction))}, 'position'
    first, *rest = text.split()
    if first in SIDES:
        found = read_noun(rest, scene)
        return {max(found, key=lambda i: along(scene, i, SIDES[first]))}, 'position'
    if first in LARGE | SMALL:
        found = read_noun(rest, scene)
        assert len(found) == 2 if first in COMPARATIVES else len(found) > 1
        sign = 1 if first in LARGE else -1
        by_length = max(found, key=lambda i: sign * scene.shapes[i].size)
        by_area = max(found, key=lambda i: sign * scene.shapes[i].area)
        return {by_length, by_area}, 'comparison' if first in COMPARATIVES else 'size'
    return read_noun([first, *rest], scene), 'colour' if first in COLOURS else 'kind'
