"""An image that the model has read, and can be asked about."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from flmm.datasets import unlabelled_item
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.answer import Answer
from flmm.grounder.closer import CloserAnswer, check_way, look_closer
from flmm.grounder.grounding import Grounding, joined
from flmm.grounder.region import WHICH_OBJECT, Box, Region, check_box, find_region
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
        """
        processor = self.grounder.to_sample.image_processor
        prompt_ids = processor.with_prompt(self.processed, prompt=question).input_ids.to(self.grounder.device)
        return self.answer_to(question, prompt_ids=prompt_ids, max_new_tokens=max_new_tokens, **settings)

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
            region = Region(box=check_box(box, self.image))
        else:
            raise ValueError(f'about is {about!r} and box is {box!r}; give one of them')
        return look_closer(self, question, region=region, how=how, scale=scale, **settings)

    def answer_to(self, question: str, *, prompt_ids: Tensor, prefix: Prefix | None = None, **settings: Any) -> Answer:
        """Let the LMM go on behind a conversation about the image.

        Args:
            question: its last question.
            prompt_ids: [S] long, the whole of it, up to where the answer starts.
            prefix: the beginning up to the end of the image; None: see :attr:`image_prefix`.
            **settings: what ``generate`` takes.
        """
        prefix = prefix or self.image_prefix
        made = generate(self.grounder.model.lmm, prefix, prompt_ids, **settings)
        ends = self.grounder.ends_of_turn
        length = next((i for i, token in enumerate(made.tolist()) if token in ends), len(made))
        return Answer(read=self, question=question, prefix=prefix, prompt_ids=prompt_ids, token_ids=made[:length])

    def given_answer(self, question: str, answer: str) -> Answer:
        """Take words for the answer to a question, as if the LMM had said them."""
        processor = self.grounder.to_sample.image_processor
        prompt_ids = processor.with_prompt(self.processed, prompt=question).input_ids.to(self.grounder.device)
        token_ids = torch.tensor(processor.encode_text(answer), device=self.grounder.device)
        return Answer(
            read=self, question=question, prefix=self.image_prefix, prompt_ids=prompt_ids, token_ids=token_ids
        )

    @cached_property
    def image_prefix(self) -> Prefix:
        """The beginning up to the end of the image, as all layers see it; what conversations go on from."""
        return self.grounder.model.image_prefix(self.sample(['x']))

    @torch.no_grad()
    def attention(self, words: str) -> AttentionMaps:
        """Return what the words attend to, averaged over their tokens, in each head that the mask head reads.

        Raises:
            ValueError: as :meth:`ground`.
        """
        model = self.grounder.model
        ((maps,), _) = model.run_lmm([self.sample(self._checked([words]))])
        heads = [(layer, head) for layer, heads in model.heads.items() for head in heads]
        channels = [(view, *head) for view in range(model.num_views) for head in heads]
        return AttentionMaps(maps=maps[0], channels=channels)

    def sample(self, phrases: list[str]) -> GroundingSample:
        """Return what the model takes of phrases of this image."""
        item = unlabelled_item(self.image, phrases, path=self.name)
        sample = self.grounder.to_sample.lay_out(item, self.processed)
        return sample.to(self.grounder.device).with_outputs(reading=self.reading)

    def _checked(self, phrases: Iterable[str]) -> list[str]:
        if isinstance(phrases, str):
            raise ValueError(f'image {self.name!r} has the string {phrases!r} for phrases; give a list of strings')
        if not isinstance(phrases, Iterable):
            raise ValueError(f'image {self.name!r} has {phrases!r} for phrases; give a list of strings')
        phrases = list(phrases)
        if not phrases:
            raise ValueError(f'image {self.name!r} has no phrase; give a list of strings')
        return phrases
