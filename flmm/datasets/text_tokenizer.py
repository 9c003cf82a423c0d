"""Text behind the prompt, as tokens: phrases with '.' between, or a caption that phrases are part of."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.text import check_text, prepare_phrase

Piece = tuple[list[int], int]
"""Tokens, and the number of the phrase that they are; -1 is context."""


@dataclass(kw_only=True)
class TextTokenizer:
    """Tokenizes what stands behind the prompt, piece by piece.

    Args:
        image_processor: whose tokenizer is asked.
        lowercase: reads phrases in lower case; captions stay as they are.
        max_phrase_tokens: the most tokens that one phrase may have.
    """

    image_processor: ImageProcessorWrapper
    lowercase: bool
    max_phrase_tokens: int

    @cached_property
    def separator_ids(self) -> list[int]:
        """What stands between phrases that are no caption."""
        return self.image_processor.encode_text('.')

    def phrases(self, phrases: Sequence[str], *, separated: bool) -> list[Piece]:
        """Lay out phrases one behind the other, each as :func:`flmm.text.prepare_phrase` writes it.

        Args:
            phrases: what to lay out.
            separated: whether a '.' stands between two of them.

        Raises:
            ValueError: a phrase says nothing, or has too many tokens.
        """
        pieces: list[Piece] = []
        for number, phrase in enumerate(phrases):
            if separated and number > 0:
                pieces.append((self.separator_ids, -1))
            pieces.append((self._phrase_ids(phrase, prepare_phrase(phrase, lowercase=self.lowercase)), number))
        return pieces

    def caption(self, caption: Sequence[str | int], phrases: Sequence[str]) -> list[Piece]:
        """Lay out a caption: its pieces as they are written, blanks and capitals included, with nothing between.

        Each piece is tokenized by itself, as F-LMM does with the segments of PNG's captions.

        Args:
            caption: The pieces in order: a text that is no phrase, or the number of a phrase. Each phrase is in it
                once.
            phrases: The phrases as they stand in the caption.

        Raises:
            ValueError: a phrase is not in the caption once, says nothing, or has too many tokens.
        """
        numbers = sorted(piece for piece in caption if not isinstance(piece, str))
        if numbers != list(range(len(phrases))):
            raise ValueError(f'its caption has the phrases {numbers}, expected each of {len(phrases)} once')
        pieces: list[Piece] = []
        for piece in caption:
            if isinstance(piece, str):
                check_text(piece)
                pieces.append((self.image_processor.encode_text(piece), -1))
            else:
                prepare_phrase(phrases[piece], lowercase=False)  # that it says something
                pieces.append((self._phrase_ids(phrases[piece], phrases[piece]), piece))
        return pieces

    def _phrase_ids(self, phrase: str, written: str) -> list[int]:
        ids = self.image_processor.encode_text(written)
        if len(ids) > self.max_phrase_tokens:
            raise ValueError(
                f'phrase {reprlib.repr(phrase)} has {len(ids)} tokens, max_phrase_tokens is {self.max_phrase_tokens}; '
                'shorten it, or raise the setting of RefCOCO2PNG (memory grows with it)'
            )
        return ids
