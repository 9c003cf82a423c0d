"""Qwen2-VL's and Qwen2.5-VL's processors with adaptive patches: as many image placeholders as an image has tokens."""

import os

from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    Qwen2_5_VLProcessor,
    Qwen2VLProcessor,
)
from transformers.video_processing_utils import BaseVideoProcessor

from flmm.qwen.image_processing import SETTINGS, AdaptiveQwen2VLImageProcessor

CLASS_CHOICES = ('backend', 'use_fast')
"""By these AutoImageProcessor chooses between classes; of the adaptive one there is one."""


class _AdaptiveProcessor:
    """What adaptive patches change in a processor; the stock one comes next among the bases.

    Args:
        image_processor: adaptive, or a stock one, whose settings an adaptive one takes over.
        tokenizer: as in the stock class.
        video_processor: as in the stock class; videos are read as there.
        chat_template: as in the stock class.
        **kwargs: as in the stock class.
    """

    def __init__(
        self,
        image_processor: BaseImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        video_processor: BaseVideoProcessor | None = None,
        chat_template: str | None = None,
        **kwargs: object,
    ) -> None:
        if isinstance(image_processor, BaseImageProcessor) and not isinstance(
            image_processor, AdaptiveQwen2VLImageProcessor
        ):
            image_processor = AdaptiveQwen2VLImageProcessor.from_dict(image_processor.to_dict())
        super().__init__(image_processor, tokenizer, video_processor, chat_template=chat_template, **kwargs)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: object
    ) -> '_AdaptiveProcessor':
        """Load a stock or an adaptive processor.

        Args:
            pretrained_model_name_or_path: a hub name or a folder.
            **kwargs: as in the stock class; settings of the image processor, adaptive ones too, override the saved, or
                those of an ``image_processor`` that is given.
        """
        # The stock loader would also save them with the tokenizer.
        settings = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if 'image_processor' in kwargs:
            given = processor.image_processor.to_dict()
            processor.image_processor = AdaptiveQwen2VLImageProcessor.from_dict(given, **settings)
        else:
            # The stock loader has made an image processor of the saved type, which may not know the settings.
            others = {name: value for name, value in kwargs.items() if name not in CLASS_CHOICES}
            processor.image_processor = AdaptiveQwen2VLImageProcessor.from_pretrained(
                pretrained_model_name_or_path, **others, **settings
            )
        return processor

    def replace_image_token(self, image_inputs: dict, image_idx: int, **_: object) -> str:
        """The placeholders of an image: one for each of its tokens."""
        return self.image_token * int(image_inputs['image_num_tokens'][image_idx])


class AdaptiveQwen2VLProcessor(_AdaptiveProcessor, Qwen2VLProcessor):
    """Qwen2VLProcessor with adaptive patches; loads the stock checkpoints.

    Used as the stock class is; ``images_kwargs`` may hold the settings of :class:`AdaptiveQwen2VLImageProcessor`, and
    what a call returns also has that one's ``image_layout`` and ``image_num_tokens``, for
    :class:`AdaptiveQwen2VLForConditionalGeneration`.
    """


class AdaptiveQwen2_5_VLProcessor(_AdaptiveProcessor, Qwen2_5_VLProcessor):
    """Qwen2_5_VLProcessor with adaptive patches; see :class:`AdaptiveQwen2VLProcessor`."""


# The auto classes find by its name what was saved. The first argument is the config class that would lead there too:
# none does, so whatever a stock config or name led to before, it still leads to.
AutoImageProcessor.register(
    AdaptiveQwen2VLImageProcessor, image_processor_classes={'torchvision': AdaptiveQwen2VLImageProcessor}, exist_ok=True
)
for _processor in (AdaptiveQwen2VLProcessor, AdaptiveQwen2_5_VLProcessor):
    AutoProcessor.register(_processor, _processor, exist_ok=True)
