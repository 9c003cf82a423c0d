"""What a model says about an image or a video, and where the things are that it speaks of.

Letters: T tokens of the answer, M spans.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from flmm.chat import NounPhrases, Span, TaggedText, noun_phrases, span_tokens, tagged_spans, token_offsets
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.conversation import Conversation

AnySpan = Span | tuple[int, int]
Found = TypeVar('Found')
"""What grounding gives: a Grounding of an image, a VideoGrounding of a video."""


class Answer(Generic[Found]):
    """An answer of the LMM, word by word a text that follows the image, so any part of it can be grounded.

    The image is not read again: the tokens of question and answer alone go through the LMM, behind what is kept of it.

    Args:
        read: the image or the video.
        question: what was asked.
        prompt_ids: [S] long, the conversation up to this answer, the image included.
        token_ids: [T] long, the answer, without the token that ends it.

    Attributes:
        raw: the answer as the tokens have it, marks of grounded words included.
        markup_error: why marks in it were taken for text; None where they are well-formed, or there are none.

    >>> answer = grounder.read('photo.jpg').chat('What is on the table?')
    >>> answer.text, answer.ground().phrases
    ('A red cup beside a book.', ['A red cup', 'a book'])
    """

    def __init__(self, *, read: 'Conversation[Found]', question: str, prompt_ids: Tensor, token_ids: Tensor) -> None:
        self.read = read
        self.question = question
        self.prompt_ids = prompt_ids
        self.token_ids = token_ids
        self._offsets, self.raw = token_offsets(token_ids.tolist(), read.grounder.to_sample.image_processor.tokenizer)
        self.markup_error: str | None = None
        try:
            self._tagged = tagged_spans(self.raw)
        except ValueError as error:  # an answer that was cut off, or one that only speaks of marks
            self.markup_error = str(error)
            self._tagged = TaggedText(self.raw, (), tuple(range(len(self.raw))))

    @property
    def text(self) -> str:
        """The answer without marks; spans count its characters."""
        return self._tagged.text

    @property
    def marked(self) -> tuple[Span, ...]:
        """The parts that the LMM has marked itself (:func:`flmm.chat.tagged_spans`)."""
        return self._tagged.spans

    def noun_phrases(self, method: str = 'auto') -> NounPhrases:
        """Find its noun phrases; see :func:`flmm.chat.noun_phrases`."""
        return noun_phrases(self.text, method=method)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """What is grounded where nothing is named: what the LMM has marked, or else the noun phrases.

        Raises:
            ValueError: an answer whose noun phrases cannot be told (:func:`flmm.chat.noun_phrases`).
        """
        return self.marked or tuple(self.noun_phrases().spans)

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """Of each token, its first character in :attr:`text` and the one behind its last; equal for those of marks."""
        return self._tagged.plain_offsets(self._offsets)

    def ground(self, spans: Iterable[AnySpan] | None = None) -> Found:
        """Find parts of the answer in the image or video, each as it stands: behind all that was said before it.

        Args:
            spans: parts of :attr:`text`, in any order; they may overlap. None takes :attr:`spans`.

        Raises:
            ValueError: no list, no span in it, one that is none, lies outside the text or has no word in it, or an
                answer whose noun phrases cannot be told.
        """
        if not isinstance(spans, Iterable | None):
            raise ValueError(f'spans is {spans!r}; give a list of (start, end), in characters of the text')
        spans = [_checked(span) for span in (self.spans if spans is None else spans)]
        if not spans:
            raise ValueError(f'the answer {self.text!r} has nothing to ground; name a span of it')
        tokens = [span_tokens(self.offsets, span, self.text) for span in spans]
        groups = _disjoint(tokens)
        samples = (
            self._sample([spans[i].of(self.text) for i in group], [tokens[i] for i in group]) for group in groups
        )
        order = torch.tensor([i for group in groups for i in group]).argsort().tolist()
        return self.read.found_of(samples, order=order)

    def chat(self, question: str, *, max_new_tokens: int = 256, **settings: Any) -> 'Answer[Found]':
        """Ask on; see :meth:`flmm.grounder.ReadImage.chat`.

        Raises:
            ValueError: also where the image processor has a ``prompt_template``, which says nothing of a second turn,
                or where the chat template writes an answer otherwise once another turn follows.
        """
        follow_up = self.read.grounder.to_sample.image_processor.follow_up_ids(question)
        ids = torch.cat([self.prompt_ids, self.token_ids, torch.tensor(follow_up, device=self.token_ids.device)])
        return self.read.answer_to(question, prompt_ids=ids, max_new_tokens=max_new_tokens, **settings)

    def _sample(self, phrases: list[str], tokens: list[list[int]]) -> GroundingSample:
        mask_ids = torch.full_like(self.token_ids, -1)
        for number, places in enumerate(tokens):
            mask_ids[places] = number
        prefix = self.read.image_prefix
        return replace(
            self.read.beginning(),
            input_ids=torch.cat([self.prompt_ids, self.token_ids]),
            mask_ids=torch.cat([torch.full_like(self.prompt_ids, -1), mask_ids]),
            phrases=phrases,
            phrase_infos=None,
            reading=replace(self.read.reading_for_masks, prefix=prefix),
            prompt_length=len(prefix.input_ids),
            independent=False,
        ).to(self.read.grounder.device)


def _checked(span: AnySpan) -> Span:
    if isinstance(span, Span):
        return span
    if not isinstance(span, (tuple, list)) or len(span) != 2:
        raise ValueError(f'span {span!r} is no pair; give a list of (start, end), in characters of the text')
    return Span(*span)


def _disjoint(tokens: Sequence[list[int]]) -> list[list[int]]:
    """Put spans into groups that share no token: [numbers of spans] each. What a group reads is the same text."""
    groups: list[tuple[list[int], set[int]]] = []
    for number, places in enumerate(tokens):
        group = next((group for group in groups if not group[1] & set(places)), None)
        if group is None:
            group = ([], set())
            groups.append(group)
        group[0].append(number)
        group[1].update(places)
    return [numbers for numbers, _ in groups]
