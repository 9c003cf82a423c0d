"""A conversation about what was read: the LMM's answers, whose words can be grounded."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic

import torch
from PIL import Image
from torch import Tensor

from flmm.chat import num_alike
from flmm.grounder.answer import Answer, Found
from flmm.models.generation import generate
from flmm.reading import ImageReading, Prefix
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder


class Conversation(Generic[Found]):
    """What can be asked of an image or a video that was read, and is answered in words.

    Attributes:
        grounder: what reads and answers.
    """

    grounder: 'Grounder'

    @property
    def subject(self) -> str:
        """What messages call it, such as "image 'photo.jpg'"."""
        raise NotImplementedError

    @property
    def image(self) -> Image.Image:
        """The image, or the first frame, as RGB."""
        raise NotImplementedError

    def found_of(self, samples: Iterable[GroundingSample], *, order: list[int] | None = None) -> Found:
        """Let the model find the phrases of samples of it, one sample after the other.

        Args:
            samples: each carries what was read.
            order: which phrase comes first, second, ..., counted over all samples. None: as they come.
        """
        raise NotImplementedError

    @property
    def reading_for_masks(self) -> ImageReading:
        """What is kept of it, as far as masks need it."""
        raise NotImplementedError

    def prompt_ids(self, question: str) -> Tensor:
        """Return the conversation up to where the answer to a first question starts: [S] long."""
        raise NotImplementedError

    def beginning(self) -> GroundingSample:
        """Return a sample of it, as it was read, with any phrase."""
        raise NotImplementedError

    def chat(self, question: str, *, max_new_tokens: int = 256, **settings: Any) -> Answer[Found]:
        """Ask the LMM about it; the words of its answer can be grounded.

        Args:
            question: the user's words, as plain text.
            max_new_tokens: the longest answer.
            **settings: what else ``generate`` of transformers takes. Without ``do_sample=True`` the answer is the same
                every time.

        Raises:
            ValueError: a question that is no string, or longer than what the LMM was made for; or settings that
                :func:`flmm.models.generation.generate` refuses.
        """
        return self.answer_to(question, prompt_ids=self.prompt_ids(question), max_new_tokens=max_new_tokens, **settings)

    def given_answer(self, question: str, answer: str) -> Answer[Found]:
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
            prompt_ids=self.prompt_ids(question),
            token_ids=torch.tensor(ids, dtype=torch.long, device=self.grounder.device),
        )
        if given.raw != answer:
            place = num_alike(given.raw, answer)
            raise ValueError(
                f'the tokenizer reads another answer from character {place} on: {answer[place:][:20]!a} as '
                f'{given.raw[place:][:20]!a}; give it as it is read'
            )
        return given

    def answer_to(self, question: str, *, prompt_ids: Tensor, **settings: Any) -> Answer[Found]:
        """Let the LMM go on behind a conversation about it.

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
                f'the conversation about {self.subject} takes {length} positions, the LMM was made for '
                f'{longest}; ask a shorter question, or ask about it anew'
            )
        room, wanted = longest - length, settings.get('max_new_tokens')
        is_bounded = isinstance(wanted, int) and wanted > room
        made = generate(lmm, prefix, prompt_ids, **(settings | {'max_new_tokens': room} if is_bounded else settings))
        ends = self.grounder.ends_of_turn
        end = next((i for i, token in enumerate(made.tolist()) if token in ends), None)
        if end is None and is_bounded:
            raise ValueError(
                f'the answer about {self.subject} goes on behind the {longest} positions that the LMM '
                f'was made for; set max_new_tokens to {room} or less, or ask about it anew'
            )
        return Answer(read=self, question=question, prompt_ids=prompt_ids, token_ids=made[:end])

    @cached_property
    def image_prefix(self) -> Prefix:
        """The beginning up to the end of what is shown, as all layers see it; what conversations go on from."""
        return self.grounder.model.image_prefix(self.beginning())
