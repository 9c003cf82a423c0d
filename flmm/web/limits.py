"""What a visitor may ask for. All of it is checked on the server."""

from dataclasses import dataclass, fields

MODEL_CALLS_AT_ONCE = 2
"""So many visitors' calls go through the model together: one computes while the other is read or drawn."""

LONGEST_TEXT = 2000
"""Characters of a text box; a phrase of it has at most 256 tokens (``RefCOCO2PNG``)."""


@dataclass(kw_only=True, frozen=True)
class Limits:
    """Limits of the page, each a positive whole number.

    Args:
        max_upload_mb: largest request, and so the largest image file, in MB of 2**20 bytes.
        max_pixels: largest width times height of an image; checked before it is decoded.
        queue_size: so many calls may wait; more are told that the page is busy.
        visitors: the last images of so many visitors are kept.
        phrases: so many phrases may be asked for at once.

    Raises:
        ValueError: a limit that is no positive whole number.
    """

    max_upload_mb: int = 20
    max_pixels: int = 20_000_000
    queue_size: int = 32
    visitors: int = 8
    phrases: int = 32

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f'{field.name} is {value!r}, expected a positive whole number')

    def phrases_of(self, text: str) -> list[str]:
        """Return the phrases of a text box, one a line, without blanks around them.

        Raises:
            ValueError: no phrase, too many, or more characters than :data:`LONGEST_TEXT`.
        """
        phrases = [phrase for line in checked_text(text).splitlines() if (phrase := line.strip())]
        if not phrases:
            raise ValueError('there is no phrase; write at least one, each in a line of its own')
        if len(phrases) > self.phrases:
            raise ValueError(f'there are {len(phrases)} phrases; ask for at most {self.phrases} at once')
        return phrases


def checked_text(text: str) -> str:
    """Return a visitor's text.

    Raises:
        ValueError: no text, or more characters than :data:`LONGEST_TEXT`.
    """
    if not isinstance(text, str):
        raise ValueError(f'{type(text).__name__} is no text; write some')
    if len(text) > LONGEST_TEXT:
        raise ValueError(f'the text has {len(text):,} characters; shorten it to {LONGEST_TEXT:,}')
    return text
