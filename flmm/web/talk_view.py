"""An answer of the LMM about the image, as HTML: its noun phrases in the colours of their masks."""

import importlib.util
from html import escape

from flmm.grounder import ReadImage
from flmm.web.pictures import color_of, data_url, mask_layer, masks_for, shrunk
from flmm.web.views import stage, words


def can_talk() -> bool:
    """Tell whether this installation has the part that answers."""
    return importlib.util.find_spec('flmm.chat') is not None


def talk_view(read: ReadImage, question: str) -> str:
    """Ask the LMM, and ground the noun phrases of what it says.

    Raises:
        ValueError: a question that the LMM's tokenizer refuses.
    """
    from flmm.chat.spans import noun_phrases  # here, since the page also works without that part

    answer = read.chat(question)
    spans = sorted(noun_phrases(answer.text))
    picture = shrunk(read.image)
    layers, parts, end = [], [], 0
    if spans:
        masks = masks_for(answer.ground(spans), (picture.height, picture.width))
        layers = [data_url(mask_layer(mask, color_of(index))) for index, mask in enumerate(masks)]
    for index, (first, last) in enumerate(spans):
        parts += [escape(answer.text[end:first]), words(answer.text[first:last], index, color=color_of(index))]
        end = last
    parts.append(escape(answer.text[end:]))
    return stage(picture, layers, f'<p class="flmm-answer">{"".join(parts)}</p>')
