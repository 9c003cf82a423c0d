"""What is kept of an image that was read once, so that any number of phrases can be asked about it.

Letters: P tokens of the prefix, L layers run, K key heads, D head dim.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from flmm.apt.layout import TokenLayout

if TYPE_CHECKING:
    from flmm.structures import GroundingSample


@dataclass(kw_only=True, frozen=True, eq=False)
class Prefix:
    """The beginning of a sequence, image and prompt, as every later token sees it.

    It takes 2 * L * K * D * P numbers of the LMM's dtype: 57 KB a token in a Qwen2.5-VL-7B, 75 MB for an image of 1,300
    tokens; in LLaVA-1.5-7B, whose heads share no keys, 0.5 MB a token.

    Args:
        input_ids: [P] long.
        keys: L tensors [1, K, P, D], after norm and rotary embedding; None for layers without attention.
        values: L tensors [1, K, P, D]; None for layers without attention.
        states: what each layer without attention carries on, as transformers' cache holds it; None for the others.
        next_position: the rotary position of the token that follows.
    """

    input_ids: Tensor
    keys: list[Tensor | None]
    values: list[Tensor | None]
    states: list[Any]
    next_position: int

    @property
    def carries(self) -> bool:
        """Whether there are layers without attention, which carry a state on."""
        return any(state is not None for state in self.states)

    def cropped(self, length: int) -> 'Prefix':
        """Return its first ``length`` tokens, whose keys and values are views; text follows, as it did.

        Raises:
            ValueError: a state has been carried on behind them.
        """
        if self.carries:
            raise ValueError('a prefix with layers that carry a state cannot be cropped; read its beginning again')
        return Prefix(
            input_ids=self.input_ids[:length],
            keys=[part[:, :, :length] for part in self.keys],
            values=[part[:, :, :length] for part in self.values],
            states=self.states,
            next_position=self.next_position - (len(self.input_ids) - length),  # text counts on by one
        )

    @property
    def num_bytes(self) -> int:
        """How much memory the keys and values take."""
        return sum(part.nbytes for part in (*self.keys, *self.values) if part is not None)


@dataclass(kw_only=True, frozen=True, eq=False)
class ImageReading:
    """What the frozen parts have read of an image and the prompt behind it, before any phrase.

    Args:
        prefix: the keys and values that the LMM keeps.
        image_embedding: what SAM keeps, as in :class:`flmm.structures.FrozenFeatures`.
        image: what was read.
        layouts: by which tokens, a layout for each view.
        made_by: fingerprints of LMM and SAM, as ``GroundingModel.fingerprints`` says them.
    """

    prefix: Prefix
    image_embedding: dict[str, Tensor]
    image: Image.Image
    layouts: list[TokenLayout]
    made_by: dict[str, str | None]

    def check_begins(self, sample: 'GroundingSample', *, depth: int) -> None:
        """Refuse a sample of another image, or one that begins otherwise than what was read.

        Args:
            sample: that is to go on from here.
            depth: the number of layers that will run.

        Raises:
            ValueError: naming the image.
        """
        layouts = [view.layout for view in sample.views]
        same_layouts = len(layouts) == len(self.layouts) and all(
            torch.equal(own.tokens.cpu(), read.tokens.cpu()) for own, read in zip(layouts, self.layouts, strict=True)
        )
        if sample.image is not self.image or not same_layouts:
            raise ValueError(
                f'image {sample.image_path!r} is not the image that was read, or it is read by other tokens; '
                'read it by itself'
            )
        if len(self.prefix.keys) < depth:
            raise ValueError(
                f'image {sample.image_path!r} was read through {len(self.prefix.keys)} layers, {depth} are run; '
                'read it with the model that is asked'
            )
        length = len(self.prefix.input_ids)
        if not torch.equal(sample.input_ids[:length].cpu(), self.prefix.input_ids.cpu()):
            raise ValueError(
                f'the sequence of image {sample.image_path!r} begins otherwise than the {length} tokens that were '
                'read; read the image again with its own prompt'
            )
        if sample.prompt_length != length:  # tokens between would be left out, or read twice
            raise ValueError(
                f'the prompt of image {sample.image_path!r} has {sample.prompt_length} tokens, {length} were read; '
                'read the image again with its own prompt'
            )
