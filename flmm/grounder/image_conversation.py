"""A conversation about an image: also about a detail of it, or beside another image."""

import copy
from typing import Any

import torch
from torch import Tensor

from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.closer import CloserAnswer, check_way, look_closer
from flmm.grounder.conversation import Conversation
from flmm.grounder.grounding import Grounding
from flmm.grounder.prepared_image import PreparedImage
from flmm.grounder.region import WHICH_OBJECT, Box, Region, check_box, find_region
from flmm.reading import ImageReading
from flmm.structures import GroundingSample


class ImageConversation(Conversation[Grounding]):
    """What can be asked of an image that was read.

    Attributes:
        prepared: the image.
        reading: what LMM and SAM keep of it.
        shown: what the user shows at the start of a conversation: the image, and what :meth:`beside` puts behind it.
    """

    prepared: PreparedImage
    reading: ImageReading
    shown: list[ProcessedImage]

    @property
    def subject(self) -> str:
        """What messages call the image."""
        return f'image {self.prepared.name!r}'

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

    @torch.no_grad()
    def beside(self, other: PreparedImage) -> 'ImageConversation':
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
            self.image_prefix, [self.beginning(), behind], both.prompt_ids('x')
        )
        return both

    def beginning(self) -> GroundingSample:
        """Return a sample of the image, as it was read, with any phrase."""
        sample = self.prepared.beginning(to_sample=self.grounder.to_sample)
        return sample.with_outputs(reading=self.reading).to(self.grounder.device)

    def prompt_ids(self, question: str) -> Tensor:
        """Return the conversation up to where the answer to a first question starts: [S] long."""
        processor = self.grounder.to_sample.image_processor
        return processor.first_turn_ids(self.shown, prompt=question).to(self.grounder.device)
