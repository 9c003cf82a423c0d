"""An image that the model has read, and can be asked about."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from flmm.chat import num_alike
from flmm.datasets import unlabelled_item
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.answer import Answer
from flmm.grounder.grounding import Grounding, joined
from flmm.models.generation import generate
from flmm.reading import ImageReading, Prefix
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

PHRASES_AT_ONCE = 32
"""So many independent phrases go through the model together; their attention maps are then dropped."""


@dataclass(kw_only=True, frozen=True)
class AttentionMaps:
    """What some words attend to in an image.

    Args:
        maps: [C, h, w] float32, on the grid of the image's last view.
        channels: C times (view, layer, head), each counted from 0, of the map.
    """

    maps: Tensor
    channels: list[tuple[int, int, int]]


class ReadImage:
    """An image that went through the vision part, the LMM and SAM's encoder once.

    Args:
        grounder: what reads phrases.
        image: as RGB.
        name: what messages call it.
        processed: what the LMM reads of it, with the prompt.
        reading: what LMM and SAM keep of it.
    """

    def __init__(
        self, *, grounder: 'Grounder', image: Image.Image, name: str, processed: ProcessedImage, reading: ImageReading
    ) -> None:
        self.grounder = grounder
        self.image = image
        self.name = name
        self.processed = processed
        self.reading = reading

    @torch.no_grad()
    def ground(self, phrases: Iterable[str]) -> Grounding:
        """Find phrases in the image.

        Args:
            phrases: what to find, any number of strings.

        Raises:
            ValueError: no list of strings, or a phrase without letters or digits, or with too many tokens.
        """
        phrases = self._checked(phrases)
        step = PHRASES_AT_ONCE if self.grounder.to_sample.independent else len(phrases)
        found = []
        for start in range(0, len(phrases), step):
            (sample,) = self.grounder.model([self.sample(phrases[start : start + step])], mode='predict')
            # Without its attention maps, which are what takes memory.
            found.append(sample.with_outputs(mask_attentions=None))
        return joined(found, image=self.image)

    def chat(self, question: str, *, max_new_tokens: int = 256, **settings: Any) -> Answer:
        """Ask the LMM about the image; the words of its answer can be grounded.

        Args:
            question: the user's words, as plain text.
            max_new_tokens: the longest answer.
            **settings: what else ``generate`` of transformers takes. Without ``do_sample=True`` the answer is the same
                every time.

        Raises:
            ValueError: a question that is no string, or settings that :func:`flmm.models.generation.generate` refuses.
        """
        return self.answer_to(
            question, prompt_ids=self._prompt_ids(question), max_new_tokens=max_new_tokens, **settings
        )

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
        """
        made = generate(self.grounder.model.lmm, self.image_prefix, prompt_ids, **settings)
        ends = self.grounder.ends_of_turn
        length = next((i for i, token in enumerate(made.tolist()) if token in ends), len(made))
        return Answer(read=self, question=question, prompt_ids=prompt_ids, token_ids=made[:length])

    @cached_property
    def image_prefix(self) -> Prefix:
        """The beginning up to the end of the image, as all layers see it; what conversations go on from."""
        return self.grounder.model.image_prefix(self.sample(['x']))

    @torch.no_grad()
    def attention(self, words: str, *, all_heads: bool = False) -> AttentionMaps:
        """Return what the words attend to, averaged over their tokens, in each head that the mask head reads.

        Args:
            words: of any number of tokens.
            all_heads: in every head of the layers that are run, read by the mask head or not.

        Raises:
            ValueError: as :meth:`ground`.
        """
        model = self.grounder.model
        chosen = model.run_heads if all_heads else model.heads
        ((maps,), _) = model.run_lmm([self.sample(self._checked([words]))], heads=chosen)
        heads = [(layer, head) for layer, heads in chosen.items() for head in heads]
        channels = [(view, *head) for view in range(model.num_views) for head in heads]
        return AttentionMaps(maps=maps[0], channels=channels)

    def sample(self, phrases: list[str]) -> GroundingSample:
        """Return what the model takes of phrases of this image."""
        item = unlabelled_item(self.image, phrases, path=self.name)
        sample = self.grounder.to_sample.lay_out(item, self.processed)
        return sample.with_outputs(reading=self.reading).to(self.grounder.device)

    def _prompt_ids(self, question: str) -> Tensor:
        """The conversation up to where the answer to a first question starts: [S] long."""
        processor = self.grounder.to_sample.image_processor
        return processor.with_prompt(self.processed, prompt=question).input_ids.to(self.grounder.device)

    def _checked(self, phrases: Iterable[str]) -> list[str]:
        if isinstance(phrases, str):
            raise ValueError(f'image {self.name!r} has the string {phrases!r} for phrases; give a list of strings')
        if not isinstance(phrases, Iterable):
            raise ValueError(f'image {self.name!r} has {phrases!r} for phrases; give a list of strings')
        phrases = list(phrases)
        if not phrases:
            raise ValueError(f'image {self.name!r} has no phrase; give a list of strings')
        return phrases
