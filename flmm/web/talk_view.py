"""An answer of the LMM about the image, as HTML: what it speaks of in the colours of the masks."""

from html import escape

from flmm.grounder import Answer
from flmm.visualization import colour_of
from flmm.web.pictures import layer_url, masks_on, shown
from flmm.web.views import as_text, stage, words


def talk_view(answer: Answer, *, key: str) -> str:
    """Ground what the LMM has marked itself in its answer, or else the noun phrases, and colour it.

    Where these cannot be told, such as in Chinese, a line says so below the answer.

    Args:
        answer: what the LMM said. The element of class ``flmm-answer`` holds its text, character by character.
        key: names the answer: what is selected of it comes with that (:func:`flmm.web.views.span_view`).
    """
    picture = shown(answer.read.image)
    layers, parts, end = [], [], 0
    try:
        spans, note = sorted(answer.spans), _how(answer)
    except ValueError as error:
        spans, note = [], str(error)
    if spans:
        masks = masks_on(picture, answer.ground(spans))
        layers = [layer_url(mask, colour_of(index)) for index, mask in enumerate(masks)]
    for index, span in enumerate(spans):
        parts += [as_text(answer.text[end : span.start]), words(span.of(answer.text), index, colour=colour_of(index))]
        end = span.end
    parts.append(as_text(answer.text[end:]))
    said = f'<p class="flmm-answer" dir="auto">{"".join(parts)}</p><p class="flmm-note">{escape(note)}</p>'
    return stage(picture, layers, said, key=key)


def _how(answer: Answer) -> str:
    """Say how the parts of the answer were found."""
    if answer.markup_error is not None:
        return f'Marks in the answer were taken for text: {answer.markup_error}'
    if answer.marked:
        return 'The model has marked these words itself.'
    return {'spacy': 'Noun phrases by spaCy.', 'words': 'Noun phrases by lists of words.'}[answer.noun_phrases().method]
