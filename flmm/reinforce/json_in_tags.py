"""Answers in JSON between tags, behind the thoughts that led to them.

The format of Seg-Zero (arXiv:2503.06520) and VisionReasoner (arXiv:2505.12081), with the keys of the latter and of
Qwen2.5-VL:

.. code-block:: text

    <think>The cup on the left is the one with a handle.</think>
    <answer>[{"bbox_2d": [10, 20, 110, 140], "point_2d": [60, 80], "label": "the cup on the left"}]</answer>

An object has one of the keys or more; others are not read. A single object may stand without brackets. ``[]`` says that
nothing is there.
"""

import json
import re
from typing import Any, NoReturn

from flmm.reinforce.answer import MAX_OBJECTS, Answer, AnsweredObject, AnswerFrame, Box, Point

TAGGED = re.compile(r'\s*<think>(?P<thoughts>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*', re.DOTALL)
TAG = re.compile('</?(?:think|answer)>')
BOX, POINT, LABEL = 'bbox_2d', 'point_2d', 'label'
LARGEST = 1e6
"""Of the numbers that are taken for coordinates."""


def parse_json_in_tags(text: str, frame: AnswerFrame) -> Answer | None:
    """Read an answer of this format; None where it cannot be read.

    It cannot where a tag is missing, twice or out of place; where the JSON is none, or is no list of objects with
    these keys; where a box is empty or turned around; where a number is not finite or beyond a million; or where there
    are more than 100 objects.
    """
    if len(TAG.findall(text)) != 4:  # first of all: with many tags, the search below would take for ever
        return None
    found = TAGGED.fullmatch(text)
    if found is None:
        return None
    try:
        said = json.loads(found['answer'], parse_constant=_refuse)
    except (ValueError, RecursionError):  # no JSON; NaN; a number of thousands of digits; nested without end
        return None
    objects = [said] if isinstance(said, dict) else said
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        return None
    answer = tuple(_object(each, frame) for each in objects)
    read = tuple(each for each in answer if each is not None)
    return read if len(read) == len(answer) else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _object(said: Any, frame: AnswerFrame) -> AnsweredObject | None:
    if not isinstance(said, dict) or not said.keys() & {BOX, POINT, LABEL}:
        return None
    box, point, label = _box(said.get(BOX), frame), _point(said.get(POINT), frame), said.get(LABEL)
    is_read = (BOX not in said or box is not None) and (POINT not in said or point is not None)
    if not is_read or (LABEL in said and not isinstance(label, str)):
        return None
    return AnsweredObject(phrase=label, box=box, point=point)


def _box(said: Any, frame: AnswerFrame) -> Box | None:
    if not _are_numbers(said, 4) or said[0] >= said[2] or said[1] >= said[3]:
        return None
    return (*frame.point(*said[:2]), *frame.point(*said[2:]))


def _point(said: Any, frame: AnswerFrame) -> Point | None:
    return frame.point(*said) if _are_numbers(said, 2) else None


def _are_numbers(said: Any, length: int) -> bool:
    return (
        isinstance(said, list)
        and len(said) == length
        and all(isinstance(n, (int, float)) and not isinstance(n, bool) and -LARGEST <= n <= LARGEST for n in said)
    )
