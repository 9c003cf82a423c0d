"""An answer of the LMM about the image, as HTML: what it names in the colours of the masks."""

from collections.abc import Iterable
from html import escape
from typing import Any

from flmm.grounder import ReadImage
from flmm.web.pictures import color_of, data_url, mask_layer, masks_for, shrunk
from flmm.web.views import stage, words


def can_talk() -> bool:
    """Tell whether images can be asked about."""
    return hasattr(ReadImage, 'chat')


def talk_view(read: ReadImage, question: str) -> str:
    """Ask the LMM, and ground what its answer names: what it has marked itself, or else the noun phrases.

    Raises:
        ValueError: a question that the LMM's tokenizer refuses.
    """
    answer = read.chat(question)
    try:
        spans, note = _apart(answer.spans), ''
    except ValueError as error:  # what an answer in another language names cannot be told; it is an answer all the same
        spans, note = [], f'<p class="flmm-note">{escape(str(error))}</p>'
    picture = shrunk(read.image)
    layers, parts, end = [], [], 0
    if spans:
        masks = masks_for(answer.ground(spans), (picture.height, picture.width))
        layers = [data_url(mask_layer(mask, color_of(index))) for index, mask in enumerate(masks)]
    for index, (first, last) in enumerate(spans):
        parts += [escape(answer.text[end:first]), words(answer.text[first:last], index, color=color_of(index))]
        end = last
    parts.append(escape(answer.text[end:]))
    return stage(picture, layers, f'<p class="flmm-answer">{"".join(parts)}</p>{note}')


def _apart(spans: Iterable[Any]) -> list[tuple[int, int]]:
    """In the order of the text, without those that begin within another: a word has one colour."""
    found, end = [], 0
    for first, last in sorted((span.start, span.end) for span in spans):
        if first >= end:
            found.append((first, last))
            end = last
    return found
