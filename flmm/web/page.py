"""What the page answers, without the page: each function gets what a visitor sent, and returns text and HTML."""

import json
import os
import time
import uuid
from pathlib import Path

from PIL import Image

from flmm.grounder import Grounder, Grounding, ReadImage
from flmm.grounder.prepared_image import prepare_image
from flmm.images import read_rgb
from flmm.web.attention_view import attention_view
from flmm.web.examples import Example
from flmm.web.limits import Limits, checked_text
from flmm.web.patches_view import patches_view
from flmm.web.pictures import data_url, shown
from flmm.web.selection import selected_span, selected_words
from flmm.web.session import Visit, Visits
from flmm.web.talk_view import talk_view
from flmm.web.views import coarse_view, masks_view, span_view, stage

LONGEST_NAME = 60
"""Characters of a file's name in messages."""


class Page:
    """Answers visitors. Several threads may use it.

    Args:
        grounder: the model.
        limits: what visitors may ask for.

    Every method raises a ValueError, whose text is for the visitor, where something is wrong with what was sent.
    """

    def __init__(self, *, grounder: Grounder, limits: Limits) -> None:
        self.grounder = grounder
        self.limits = limits
        self.visits = Visits(most=limits.visitors)

    def read_file(self, path: str | os.PathLike, *, visitor: str) -> ReadImage:
        """Read an uploaded file once, and keep it as the visitor's image."""
        # Names of others hold anything, such as marks that turn the direction of the text behind them.
        name = ''.join(letter if letter.isprintable() else '?' for letter in Path(path).name)[-LONGEST_NAME:]
        image = read_rgb(path, name=name, orientation='apply', max_pixels=self.limits.max_pixels)
        return self.read(image, name=name, visitor=visitor)

    def read(self, image: Image.Image, *, name: str, visitor: str) -> ReadImage:
        """Read an image once, and keep it as the visitor's."""
        read = self._read(image, name=name)
        self.visits.keep(visitor, Visit(read=read))
        return read

    def picture(self, visitor: str) -> str:
        """Show the visitor's image, nothing found yet."""
        return stage(shown(self.visits.of(visitor).read.image))

    def example(self, example: Example, *, visitor: str) -> tuple[str, str, str]:
        """Read an example and ground its phrases; returns what :meth:`find` returns."""
        visit = Visit(read=self._read(example.image, name='example'))
        answer = _find(visit, example.phrases)
        self.visits.keep(visitor, visit)  # now, since what is found in the last image until then is of that
        return answer

    def find(self, text: str, *, visitor: str) -> tuple[str, str, str]:
        """Ground the phrases of a text box: masks, coarse masks beside refined ones, and a line that says how long."""
        with self.visits.asked(visitor) as visit:
            return _find(visit, self.limits.phrases_of(text))

    def span(self, text: str, start: int, end: int, *, visitor: str) -> str:
        """Ground the words that were selected in a text box, by themselves; '' where there are none."""
        words = selected_words(checked_text(text), start, end)
        with self.visits.asked(visitor) as visit:
            return span_view(visit.read.ground([words])) if words else ''

    def attention(self, words: str, *, visitor: str) -> str:
        """Show what words attend to in each head."""
        with self.visits.asked(visitor) as visit:
            return attention_view(visit.read, _some(words, 'words'))

    def patches(self, *, visitor: str, **settings: object) -> str:
        """Show the patches of a selection, by the fields of :class:`flmm.apt.PatchSelection`."""
        with self.visits.asked(visitor) as visit:
            return patches_view(visit.read, **settings)

    def talk(self, question: str, *, visitor: str) -> str:
        """Answer a question, the noun phrases of the answer in the colours of their masks."""
        with self.visits.asked(visitor) as visit:
            answer, key = visit.read.chat(_some(question, 'question')), uuid.uuid4().hex
            html = talk_view(answer, key=key)
            visit.answer, visit.answer_key = answer, key
            return html

    def said(self, key: str, start: int, end: int, *, visitor: str) -> str:
        """Ground the words that were selected in an answer, as they stand in it.

        Args:
            key: the answer's, by which :meth:`talk` named it.
            start: where the selection begins in the answer's text, in UTF-16 code units.
            end: where it ends.
            visitor: who has selected them.
        """
        with self.visits.asked(visitor) as visit:
            if visit.answer is None or key != visit.answer_key:
                raise ValueError('these words are of an answer that is gone; ask again, then select some')
            span = selected_span(visit.answer.text, start, end)
            return span_view(visit.answer.ground([span]), over=key)

    def rle(self, visitor: str) -> str:
        """Return the masks in the image frame as JSON: phrases, and COCO's compressed RLE of each."""
        found = self._found(visitor)
        masks = [{'phrase': phrase, **rle} for phrase, rle in zip(found.phrases, found.to_rle(), strict=True)]
        return json.dumps(masks, ensure_ascii=False)

    def png(self, visitor: str) -> str:
        """Return the data URL of a PNG: the image with all masks and a legend, as ``Grounding.overlay`` draws it."""
        return data_url(self._found(visitor).overlay(), 'PNG')

    def _read(self, image: Image.Image, *, name: str) -> ReadImage:
        return self.grounder.read(prepare_image(image, to_sample=self.grounder.to_sample, name=name))

    def _found(self, visitor: str) -> Grounding:
        found = self.visits.of(visitor).found
        if found is None:
            raise ValueError('nothing was looked for in this image yet; find some phrases first')
        return found


def _find(visit: Visit, phrases: list[str]) -> tuple[str, str, str]:
    start = time.monotonic()
    found = visit.read.ground(phrases)
    seconds = time.monotonic() - start
    views = masks_view(found), coarse_view(found)
    visit.found = found  # last: until then, what the page shows is what was found before
    return *views, f'{len(found)} phrase{"s" if len(found) > 1 else ""} in {seconds:.2f} s'


def _some(text: str, what: str) -> str:
    text = checked_text(text).strip()
    if not text:
        raise ValueError(f'there is no text in the box {what!r}; write some')
    return text
