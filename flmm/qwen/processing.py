"""Processors of Qwen-VL models with adaptive patches: as many image placeholders as an image has tokens."""

import os
from typing import Any

from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    AutoVideoProcessor,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen3VLProcessor,
)
from transformers.video_processing_utils import BaseVideoProcessor

from flmm.apt.patch_selection import SETTINGS
from flmm.qwen.image_processing import AdaptiveQwen2VLImageProcessor
from flmm.qwen.stock_interface import refuse_remote_code

CLASS_CHOICES = ('backend', 'use_fast')
"""By these AutoImageProcessor chooses between classes; of the adaptive one there is one."""


class _AdaptiveProcessor:
    """What adaptive patches change in a processor; the stock one comes next among the bases.

    Args:
        image_processor: adaptive, or a stock one, whose settings an adaptive one takes over.
        tokenizer: the stock class's.
        video_processor: the stock class's; videos are read as there.
        chat_template: the stock class's.
        **kwargs: the stock class's.
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
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        cache_dir: str | os.PathLike | None = None,
        force_download: bool = False,  # noqa: FBT001, FBT002 (the stock order)
        local_files_only: bool = False,  # noqa: FBT001, FBT002
        token: str | bool | None = None,  # noqa: FBT001
        revision: str = 'main',
        **kwargs: object,
    ) -> 'Qwen2VLProcessor | Qwen2_5_VLProcessor | Qwen3VLProcessor':
        """Load a stock or an adaptive processor.

        Args:
            pretrained_model_name_or_path: a hub name or a folder.
            cache_dir: where files of the hub are kept.
            force_download: download files that are kept already, too.
            local_files_only: do not ask the hub.
            token: what the hub knows the user by.
            revision: branch, tag or commit on the hub.
            **kwargs: the stock class's; settings of the image processor, adaptive ones too, override the saved, or
                those of an ``image_processor`` that is given.

        Raises:
            ValueError: a setting out of its range; ``trust_remote_code`` is set.
        """
        refuse_remote_code(kwargs)
        kwargs.pop('trust_remote_code', None)
        given = {name: kwargs.pop(name) for name in cls.get_attributes() if name in kwargs}
        settings = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}  # tokenizers would save them
        kwargs |= {
            'cache_dir': cache_dir,
            'force_download': force_download,
            'local_files_only': local_files_only,
            'revision': revision,
        }
        if token is not None:
            kwargs['token'] = token

        # Not by the stock loader: it builds an image processor of the saved type, and from the stock settings alone,
        # which may be wrong without the others.
        image_settings = {name: value for name, value in kwargs.items() if name not in CLASS_CHOICES} | settings
        if 'image_processor' not in given:
            given['image_processor'] = AdaptiveQwen2VLImageProcessor.from_pretrained(
                pretrained_model_name_or_path, **image_settings
            )
        elif isinstance(given['image_processor'], BaseImageProcessor):
            given['image_processor'] = AdaptiveQwen2VLImageProcessor.from_dict(
                given['image_processor'].to_dict(), **image_settings
            )
        for name, loader in (('tokenizer', AutoTokenizer), ('video_processor', AutoVideoProcessor)):
            if name not in given:
                given[name] = loader.from_pretrained(pretrained_model_name_or_path, trust_remote_code=False, **kwargs)
        saved, others = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        return cls.from_args_and_dict([given[name] for name in cls.get_attributes()], saved, **others)

    def to_dict(self) -> dict[str, Any]:
        """What is saved: as in the stock class, with the image processor under its stock name.

        So the stock processors, which find it by that name, read the folder too, and leave the settings of the adaptive
        patches alone. An adaptive processor reads its settings whatever the name.
        """
        saved = super().to_dict()
        saved['image_processor']['image_processor_type'] = Qwen2VLImageProcessor.__name__
        return saved

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: object) -> str:
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


class AdaptiveQwen3VLProcessor(_AdaptiveProcessor, Qwen3VLProcessor):
    """Qwen3VLProcessor, of Qwen3-VL and Qwen3.5, with adaptive patches; see :class:`AdaptiveQwen2VLProcessor`."""


# AutoProcessor finds an adaptive processor by its name, and AutoImageProcessor an image processor that was saved alone.
# The first argument is the config class that would lead there too: none does, so whatever a stock config or name led to
# before, it still leads to.
AutoImageProcessor.register(
    AdaptiveQwen2VLImageProcessor, image_processor_classes={'torchvision': AdaptiveQwen2VLImageProcessor}, exist_ok=True
)
for _processor in (AdaptiveQwen2VLProcessor, AdaptiveQwen2_5_VLProcessor, AdaptiveQwen3VLProcessor):
    AutoProcessor.register(_processor, _processor, exist_ok=True)
