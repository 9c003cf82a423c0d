"""An image and a user's turn -> what an LMM reads. Every family has a wrapper of its processor with this contract."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from flmm.datasets.chat_tokenizer import ChatTokenizer
from flmm.families import check_processor
from flmm.pretrained import load_processor
from flmm.structures import ImageView
from flmm.video import Clip


@dataclass(kw_only=True)
class ProcessedImage:
    """What an LMM reads of one image, or of one video, and the user's turn.

    Args:
        input_ids: [S] long, the rendered chat up to the start of the answer, with the placeholders of the image.
        lmm_inputs: tensors that the LMM takes beside the text, under its own names.
        views: the renderings of the image, coarse before fine; their columns are positions in ``input_ids``.
        is_video: the views are moments of a video, in order of time.
    """

    input_ids: Tensor
    lmm_inputs: dict[str, Tensor]
    views: list[ImageView]
    is_video: bool = False


class ImageProcessorWrapper(ABC):
    """The processor of a family of LMMs, for one image and one user turn.

    Everything comes from the checkpoint: sizes, normalization, chat template. Two things are guarded: ``<image>``
    placeholders in a prompt are stripped, since the template already places the image; and text is tokenized as plain
    text, so a prompt or phrase with the characters of a special token cannot change the number of image tokens.

    A family says what it reads of an image (:meth:`read_image`) and how many tokens that takes at most
    (:meth:`num_image_tokens`).

    Args:
        pretrained_model_name_or_path: a folder or a hub name, for :func:`flmm.pretrained.load_processor`; or a
            processor already loaded.
        prompt_template: the chat up to the start of the answer, with ``<image>`` and ``{prompt}`` where they belong,
            such as ``'USER: <image>\\n{prompt} ASSISTANT:'``. None takes the chat template of the checkpoint.

    Raises:
        ValueError: the processor is of another family, its tokenizer lacks the image token, or a template without
            exactly one image and one prompt.
    """

    def __init__(
        self,
        *,
        pretrained_model_name_or_path: str | os.PathLike | ProcessorMixin,
        prompt_template: str | None = None,
    ) -> None:
        if isinstance(pretrained_model_name_or_path, (str, os.PathLike)):
            pretrained_model_name_or_path = load_processor(pretrained_model_name_or_path)
        self.processor = pretrained_model_name_or_path
        check_processor(self.processor, wrapper=type(self))
        self.tokenizer = self.processor.tokenizer
        self.image_token_id: int = self.processor.image_token_id
        image_token = self.processor.image_token
        # Where it is missing, processors take the id of an unknown token, or of a piece of its name.
        if self.tokenizer.convert_ids_to_tokens(self.image_token_id) != image_token:
            raise ValueError(
                f"the tokenizer lacks the processor's image token {image_token!r}; add it, or name another"
            )
        self.chat_tokenizer = ChatTokenizer(processor=self.processor, prompt_template=prompt_template)

    @abstractmethod
    def read_image(self, image: Image.Image) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Prepare an image.

        Returns:
            The tensors that the LMM takes beside the text, the number of placeholders, and the views; their columns
            count from the first placeholder.

        Raises:
            ValueError: an image that the LMM's processor refuses.
        """

    @abstractmethod
    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image of this size in px has, at most."""

    def preprocess_video(self, clip: Clip, *, prompt: str) -> ProcessedImage:
        """Prepare the frames of a video with the user's words about it: a view for each moment, in order of time.

        Raises:
            ValueError: the family reads no videos, or the processor refuses this one; the message names it.
        """
        raise ValueError(
            f'{type(self).__name__} reads {clip.name!r} as no video; read its frames as single images '
            "(read_as='images'), or take a model of the Qwen-VL family"
        )

    def video_turn_ids(self, processed: ProcessedImage, *, prompt: str, instead_of: str) -> Tensor:
        """Tokenize the chat about a video that :meth:`preprocess_video` has prepared with other words.

        Args:
            processed: the video.
            prompt: the user's words.
            instead_of: those that it was prepared with.

        Returns:
            [S] long, the rendered chat up to the start of the answer.
        """
        raise NotImplementedError  # where videos are read

    def encode_text(self, text: str) -> list[int]:
        """Tokenize plain text; see :meth:`flmm.datasets.chat_tokenizer.ChatTokenizer.encode_text`."""
        return self.chat_tokenizer.encode_text(text)

    def follow_up_ids(self, question: str) -> list[int]:
        """Tokenize a user's next turn; see :meth:`flmm.datasets.chat_tokenizer.ChatTokenizer.follow_up_ids`."""
        return self.chat_tokenizer.follow_up_ids(question)

    def preprocess(self, image: Image.Image, *, prompt: str) -> ProcessedImage:
        """Prepare an image with the user's words about it.

        Raises:
            ValueError: an image that the LMM's processor refuses, or a prompt that :meth:`encode_text` refuses.
        """
        return self.lay_out(*self.read_image(image), prompt=prompt)

    def lay_out(
        self, lmm_inputs: dict[str, Tensor], num_placeholders: int, views: list[ImageView], *, prompt: str
    ) -> ProcessedImage:
        """Put what :meth:`read_image` returns of an image into the chat with the user's words about it."""
        input_ids = self._chat_ids(prompt, num_placeholders=[num_placeholders])
        start = int((input_ids == self.image_token_id).nonzero()[0])
        return ProcessedImage(
            input_ids=input_ids,
            lmm_inputs=lmm_inputs,
            views=[replace(view, columns=view.columns + start) for view in views],
        )

    def first_turn_ids(self, images: Sequence[ProcessedImage], *, prompt: str) -> Tensor:
        """Tokenize the chat of a user who shows one or several images, prepared with any words, then speaks of them.

        Returns:
            [S] long, the rendered chat up to the start of the answer, with the placeholders of all images.

        Raises:
            ValueError: a prompt that :meth:`encode_text` refuses; several images, where the chat is a given
                ``prompt_template`` of one, or the chat template does not show each of them.
        """
        counts = [int((image.input_ids == self.image_token_id).sum()) for image in images]
        return self._chat_ids(prompt, num_placeholders=counts)

    def _chat_ids(self, prompt: str, *, num_placeholders: Sequence[int]) -> Tensor:
        """Tokenize the chat about one or several images, each with its placeholders."""
        ids: list[int] = []
        counts = iter(num_placeholders)
        for token in self.chat_tokenizer.first_turn_ids(prompt, num_images=len(num_placeholders)):
            ids += [token] * (next(counts) if token == self.image_token_id else 1)
        return torch.tensor(ids)
