"""An answer of the LMM about the image, as HTML: what it speaks of in the colours of the masks."""

from html import escape

from flmm.grounder import Answer, ReadImage
from flmm.web.pictures import color_of, data_url, mask_layer, masks_for, shrunk
from flmm.web.views import stage, words


def talk_view(read: ReadImage, question: str) -> str:
    """Ask the LMM, and ground what it has marked itself in its answer, or else the noun phrases.

    Where these cannot be told, such as in Chinese, a line says so below the answer.

    Raises:
        ValueError: a question that the LMM's tokenizer refuses.
    """
    answer = read.chat(question)
    picture = shrunk(read.image)
    layers, parts, end = [], [], 0
    try:
        spans, note = sorted(answer.spans), _how(answer)
    except ValueError as error:
        spans, note = [], str(error)
    if spans:
        masks = masks_for(answer.ground(spans), (picture.height, picture.width))
        layers = [data_url(mask_layer(mask, color_of(index))) for index, mask in enumerate(masks)]
    for index, span in enumerate(spans):
        parts += [escape(answer.text[end : span.start]), words(span.of(answer.text), index, color=color_of(index))]
        end = span.end
    parts.append(escape(answer.text[end:]))
    said = f'<p class="flmm-answer">{"".join(parts)}</p><p class="flmm-note">{escape(note)}</p>'
    return stage(picture, layers, said)


def _how(answer: Answer) -> str:
    """Say how the parts of the answer were found."""
    if answer.markup_error is not None:
        return f'Marks in the answer were taken for text: {answer.markup_error}'
    if answer.marked:
        return 'The model has marked these words itself.'
    return {'spacy': 'Noun phrases by spaCy.', 'words': 'Noun phrases by lists of words.'}[answer.noun_phrases().method]
