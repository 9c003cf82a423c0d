"""An LMM's answer, and which of its words are to be grounded. Needs neither torch nor transformers."""

from flmm.chat.markup import TaggedText, tagged_spans
from flmm.chat.offsets import num_alike, token_offsets
from flmm.chat.phrases import METHODS, NounPhrases, noun_phrases
from flmm.chat.spans import Span, span_tokens

__all__ = [
    'METHODS',
    'NounPhrases',
    'Span',
    'TaggedText',
    'noun_phrases',
    'num_alike',
    'span_tokens',
    'tagged_spans',
    'token_offsets',
]
