"""Answers of phrases and location tokens, as the demo LMM writes them: ``the red circle<x3><y5>.the star<x1><y2>``.

Each phrase may be followed by the column and row, counted from 0, of the unit of 28 x 28 px that holds the middle of
what it means, in the image as the LMM reads it. The empty text says that nothing is there.
"""

import re

from flmm.reinforce.answer import MAX_OBJECTS, Answer, AnsweredObject, AnswerFrame

UNIT = 28
"""Side of a unit in px of the image as it is read."""
PIECE = re.compile(r'(?P<phrase>[^<>]*)(?:<x(?P<column>[0-9]{1,2})><y(?P<row>[0-9]{1,2})>)?')


def parse_location_tokens(text: str, frame: AnswerFrame) -> Answer | None:
    """Read an answer of this format; its points are the middles of units. None where it cannot be read.

    It cannot where a location has one token alone or two in the other order, where something stands between a location
    and the next '.', where a piece between two '.' is empty, or where there are more than 100 pieces.
    """
    if not text.strip():
        return ()
    pieces = text.split('.')
    if len(pieces) > MAX_OBJECTS:
        return None
    found = [PIECE.fullmatch(piece) for piece in pieces]
    if not all(match is not None and match[0].strip() for match in found):
        return None
    return tuple(_object(match, frame) for match in found if match is not None)


def _object(match: re.Match[str], frame: AnswerFrame) -> AnsweredObject:
    point = None
    if match['column'] is not None:
        point = frame.point(*((int(match[axis]) + 0.5) * UNIT for axis in ('column', 'row')))
    return AnsweredObject(phrase=match['phrase'].strip() or None, point=point)
