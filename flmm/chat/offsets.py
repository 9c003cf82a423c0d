"""Which characters of a text its tokens are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPLACEMENT = '\ufffd'
"""What a piece of a character is decoded to."""


def token_offsets(token_ids: Sequence[int], tokenizer: 'PreTrainedTokenizerBase') -> tuple[list[tuple[int, int]], str]:
    """Decode tokens, and say which characters each of them gives.

    Tokens of an answer need not be those that its text would be split into, so the tokenizer is not asked to split it.

    Args:
        token_ids: the tokens.
        tokenizer: one of transformers, by which they are decoded.

    Returns:
        Of each token, its first character and the one behind its last: a token that holds a piece of a character has
        all of it. And the text, special tokens written out.
    """

    def decode(first: int, count: int) -> str:
        return tokenizer.decode(token_ids[first:count], skip_special_tokens=False, clean_up_tokenization_spaces=False)

    text = decode(0, len(token_ids))
    offsets: list[tuple[int, int]] = []
    done = 0  # so many characters are whole
    # Only the last few tokens are decoded anew. They begin at token `first`, and up to token `clean` they are whole
    # characters, `known`, which end at character `at` of the text: how a decoder treats the first token, such as its
    # blank, is in `known`, and makes no difference behind it.
    first, clean, known, at = 0, 0, '', 0
    for count in range(1, len(token_ids) + 1):
        decoded, start = decode(first, count), done
        expected = known + text[at : at + len(decoded)]
        if expected.startswith(decoded):
            done = end = max(done, at + len(decoded) - len(known))
            if not decoded.endswith(REPLACEMENT):  # which may yet become a character
                first, clean, at = clean, count, done
                known = decode(first, clean)
        else:  # it ends within a character, whose first pieces show as U+FFFD until the last is there
            done = max(done, at + num_alike(decoded, expected) - len(known))
            end = min(done + 1, len(text))
        offsets.append((start, end))
    return offsets, text


def num_alike(one: str, other: str) -> int:
    """Count the characters at the beginning of two texts up to where they differ, or one ends."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
