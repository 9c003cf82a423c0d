"""The ways to answer a question that are compared."""

from dataclasses import dataclass

import numpy as np

from closer_look.questions import PLAIN_SIDE, SIDE
from flmm.grounder.region import Box

MARGIN, MIN_SIDE, SCALE = 0.25, 56, 2.0
MAX_NEW_TOKENS = 4
REGIONS = {
    'true': 'true region',
    'grounded': 'grounded region',
    'asked': 'region of what the LMM names',
    'random': 'random region',
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way.

    Args:
        label: as tables have it.
        side: height and width in px at which the scene is read first.
        how: of ``chat_closer``; None is no closer look.
        region: one of :data:`REGIONS`; None with ``how``.
        scale: of ``chat_closer``.
    """

    label: str
    side: int = PLAIN_SIDE
    how: str | None = None
    region: str | None = None
    scale: float = SCALE


def conditions() -> dict[str, Condition]:
    """All of them, by name."""
    found = {
        'plain': Condition(label=f'plain, {PLAIN_SIDE} px'),
        'plain_280': Condition(label='plain, 280 px', side=280),
        'plain_336': Condition(label='plain, 336 px', side=336),
        'plain_448': Condition(label=f'plain, {SIDE} px', side=SIDE),
    }
    ways = {'crop': 'crop', 'image_and_crop': 'image and crop', 'layout': 'layout'}
    for how, label in ways.items():
        for region, words in REGIONS.items():
            if region != 'asked' or how == 'image_and_crop':
                found[f'{how}_{region}'] = Condition(label=f'{label}, {words}', how=how, region=region)
    found['crop_true_x4'] = Condition(label='crop, true region, scale 4', how='crop', region='true', scale=4.0)
    return found


def random_box(box: Box, rng: np.random.Generator) -> Box:
    """Put a box of the same size anywhere in the scene."""
    width, height = box[2] - box[0], box[3] - box[1]
    left, top = (int(rng.integers(SIDE - length + 1)) for length in (width, height))
    return left, top, left + width, top + height
