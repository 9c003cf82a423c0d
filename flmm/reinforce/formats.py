"""The formats of answers, by name."""

from flmm.reinforce.answer import AnswerFormat
from flmm.reinforce.json_in_tags import parse_json_in_tags
from flmm.reinforce.location_tokens import parse_location_tokens

ANSWER_FORMATS: dict[str, AnswerFormat] = {
    'json_in_tags': AnswerFormat(parse=parse_json_in_tags, writes=frozenset({'phrase', 'box', 'point'})),
    'location_tokens': AnswerFormat(
        parse=parse_location_tokens, writes=frozenset({'phrase', 'point'}), counts=frozenset({'resized'})
    ),
}
"""A format of one's own is added here, or to this dict from elsewhere."""
