"""An LMM's answer, and which of its words are to be grounded. Needs neither torch nor transformers."""

from flmm.chat.markup import TaggedText, tagged_spans
from flmm.chat.phrases import METHODS, NounPhrases, noun_phrases
from flmm.chat.spans import Span, span_tokens

__all__ = ['METHODS', 'NounPhrases', 'Span', 'TaggedText', 'noun_phrases', 'span_tokens', 'tagged_spans']
