"""A conversation about an image that was read: the LMM's answers, whose words can be grounded."""

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flmm.chat import num_alike
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.answer import Answer
from flmm.grounder.closer import CloserAnswer, check_way, look_closer
from flmm.grounder.prepared_image import PreparedImage
from flmm.grounder.region import WHICH_OBJECT, Box, Region, check_box, find_region
from flmm.models.generation import generate
from flmm.reading import ImageReading, Prefix
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder


class Conversation:
    """What can be asked of an image that was read, and is answered in words.

    Attributes:
        grounder: what reads and answers.
        prepared: the image.
        reading: what LMM and SAM keep of it.
        shown: what the user shows at the start of a conversation: the image, and what :meth:`beside` puts behind it.
    """

    grounder: 'Grounder'
    prepared: PreparedImage
    reading: ImageReading
    shown: list[ProcessedImage]

    def chat(self, question: str, *, max_new_tokens: int = 256, **settings: Any) -> Answer:
        """Ask the LMM about the image; the words of its answer can be grounded.

        Args:
            question: the user's words, as plain text.
            max_new_tokens: the longest answer.
            **settings: what else ``generate`` of transformers takes. Without ``do_sample=True`` the answer is the same
                every time.

        Raises:
            ValueError: a question that is no string, or longer than what the LMM was made for; or settings that
                :func:`flmm.models.generation.generate` refuses.
        """
        return self.answer_to(
            question, prompt_ids=self._prompt_ids(question), max_new_tokens=max_new_tokens, **settings
        )

    def chat_closer(
        self,
        question: str,
        *,
        about: str | None = None,
        box: Box | None = None,
        how: str = 'crop',
        margin: float = 0.25,
        min_side: int = 56,
        scale: float | None = None,
        which: str = WHICH_OBJECT,
        **settings: Any,
    ) -> CloserAnswer:
        """Ask about a detail: find the object that the answer depends on, read its region at a finer scale, and ask.

        This is F-LMM's visual chain of thought. Whether it helps is a matter of the LMM and of its training: see
        docs/visual_chain_of_thought.md.

        Args:
            question: the user's words, as plain text.
            about: words for the object, such as 'the small circle'. None lets the LMM say which it is.
            box: the region itself in place of an object: left, top, right and bottom in whole px of the image, right
                and bottom one past the last px.
            how: what the LMM is shown. 'crop': the region alone, as an image. 'image_and_crop': both in one turn, the
                image being kept from its first reading. 'layout': the image at a finer scale, by about as many tokens
                as at first; those in the region cover single units, the others more, the farther away they are. The
                latter two are for Qwen-VL models.
            margin: what is added on each side of the mask's box, as a share of its longer side.
            min_side: px that the region's sides have at least.
            scale: how many times finer than at first the region is read, 2 by default; a crop stays within the bounds
                of the processor. Qwen-VL models only: the others read images of any size at one size.
            which: how the LMM is asked for the object, with ``{question}``.
            **settings: what ``chat`` takes, for the answer.

        Raises:
            ValueError: a setting out of its range, or one that the LMM cannot read; ``about`` beside ``box``; a box
                outside of the image; the LMM names no object; or nothing is found of it. There is no answer then.

        >>> closer = grounder.read('photo.jpg').chat_closer('What does the sign say?', about='the small sign')
        >>> closer.text, closer.region.box, closer.scale
        ('Stop.', (310, 42, 366, 98), 2.0)
        """
        check_way(self, how=how, scale=scale)
        if box is None:
            region = find_region(self, question, about=about, which=which, margin=margin, min_side=min_side)
        elif about is None:
            region = Region(box=check_box(box, self.prepared.image))
        else:
            raise ValueError(f'about is {about!r} and box is {box!r}; give one of them')
        return look_closer(self, question, region=region, how=how, scale=scale, **settings)

    def given_answer(self, question: str, answer: str) -> Answer:
        """Take words for the answer to a question, as if the LMM had said them.

        Args:
            question: the user's words, as plain text.
            answer: the words. Those that :func:`flmm.chat.tagged_spans` takes for marks are taken out of the answer's
                text, but the LMM reads them as plain text.

        Raises:
            ValueError: words that the tokenizer reads as others, so that spans of them would lie elsewhere.
        """
        ids = self.grounder.to_sample.image_processor.encode_text(answer)
        given = Answer(
            read=self,
            question=question,
            prompt_ids=self._prompt_ids(question),
            token_ids=torch.tensor(ids, dtype=torch.long, device=self.grounder.device),
        )
        if given.raw != answer:
            place = num_alike(given.raw, answer)
            raise ValueError(
                f'the tokenizer reads another answer from character {place} on: {answer[place:][:20]!a} as '
                f'{given.raw[place:][:20]!a}; give it as it is read'
            )
        return given

    def answer_to(self, question: str, *, prompt_ids: Tensor, **settings: Any) -> Answer:
        """Let the LMM go on behind a conversation about the image.

        Args:
            question: its last question.
            prompt_ids: [S] long, the whole of it, up to where the answer starts.
            **settings: what :func:`flmm.models.generation.generate` takes.

        Raises:
            ValueError: conversation or answer are longer than what the LMM was made for, or settings that ``generate``
                refuses.
        """
        lmm, prefix = self.grounder.model.lmm, self.image_prefix
        # Positions and not tokens: those of an image may share some.
        length = prefix.next_position + len(prompt_ids) - len(prefix.input_ids)
        longest = lmm.config.get_text_config().max_position_embeddings
        if length >= longest:
            raise ValueError(
                f'the conversation about image {self.prepared.name!r} takes {length} positions, the LMM was made for '
                f'{longest}; ask a shorter question, or ask about the image anew'
            )
        room, wanted = longest - length, settings.get('max_new_tokens')
        is_bounded = isinstance(wanted, int) and wanted > room
        made = generate(lmm, prefix, prompt_ids, **(settings | {'max_new_tokens': room} if is_bounded else settings))
        ends = self.grounder.ends_of_turn
        end = next((i for i, token in enumerate(made.tolist()) if token in ends), None)
        if end is None and is_bounded:
            raise ValueError(
                f'the answer about image {self.prepared.name!r} goes on behind the {longest} positions that the LMM '
                f'was made for; set max_new_tokens to {room} or less, or ask about the image anew'
            )
        return Answer(read=self, question=question, prompt_ids=prompt_ids, token_ids=made[:end])

    @cached_property
    def image_prefix(self) -> Prefix:
        """The beginning up to the end of what is shown, as all layers see it; what conversations go on from."""
        return self.grounder.model.image_prefix(self._beginning())

    @torch.no_grad()
    def beside(self, other: PreparedImage) -> 'Conversation':
        """Show another image behind this one in conversations, in the same turn. Masks are still of this one.

        This one is not read again, and the other by the LMM alone.

        Raises:
            ValueError: the chat template does not show two images, or begins otherwise with them.
        """
        both = copy.copy(self)
        both.shown = [self.prepared.processed, other.processed]
        behind = other.beginning(to_sample=self.grounder.to_sample).to(self.grounder.device)
        # Any question will do: what is read ends before it.
        both.image_prefix = self.grounder.model.further_image_prefix(
            self.image_prefix, [self._beginning(), behind], both._prompt_ids('x')
        )
        return both

    def _beginning(self) -> GroundingSample:
        sample = self.prepared.beginning(to_sample=self.grounder.to_sample)
        return sample.with_outputs(reading=self.reading).to(self.grounder.device)

    def _prompt_ids(self, question: str) -> Tensor:
        """The conversation up to where the answer to a first question starts: [S] long."""
        processor = self.grounder.to_sample.image_processor
        return processor.first_turn_ids(self.shown, prompt=question).to(self.grounder.device)
