"""Phrases as callers give them."""

from collections.abc import Iterable


def check_phrases(phrases: Iterable[str], *, asked: str) -> list[str]:
    """Return what was asked for as a list.

    Args:
        phrases: any number of strings; what they say is checked where they are turned into tokens.
        asked: begins messages, such as "image 'photo.jpg'".

    Raises:
        ValueError: no list of strings, such as a single one; or none in it.
    """
    if isinstance(phrases, (str, bytes)) or not isinstance(phrases, Iterable):
        kind = 'the string ' if isinstance(phrases, str) else ''
        raise ValueError(f'{asked} has {kind}{phrases!r} for phrases; give a list of strings')
    phrases = list(phrases)
    if not phrases:
        raise ValueError(f'{asked} has no phrase; give a list of strings')
    return phrases
