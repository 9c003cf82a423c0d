"""Qwen-VL models that read adaptive patches: the stock models, told by a layout what each image token covers.

The layout comes from the adaptive processors as ``image_layout`` and ``image_num_tokens``. Without it the models are
the stock ones. No parameter is added or renamed.
"""

from torch import Tensor, nn
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLModel,
    Qwen2VLForConditionalGeneration,
    Qwen2VLModel,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5Model,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling

from flmm.apt.layout import TokenLayout
from flmm.qwen.layout_inputs import image_features, layouts_from_inputs
from flmm.qwen.layout_inputs import position_ids as layout_position_ids
from flmm.qwen.stock_interface import StockCheckpoint, adapts


class _AdaptiveModel(StockCheckpoint):
    """What a layout changes in the inner model; the stock one comes next among the bases."""

    def forward(
        self,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        image_layout: Tensor | None = None,
        image_num_tokens: Tensor | None = None,
        **kwargs: object,
    ) -> tuple | BaseModelOutputWithPast:
        """The stock forward pass, over images read by ``image_layout`` where it is given."""
        if image_layout is not None or image_num_tokens is not None:
            layouts = self._layouts(image_layout, image_num_tokens, image_grid_thw)
            if pixel_values is not None and mm_encoder_outputs is None:
                mm_encoder_outputs = {'image': image_features(self, pixel_values, image_grid_thw, layouts)}
                if pixel_values_videos is not None:
                    mm_encoder_outputs['video'] = self.get_video_features(
                        pixel_values_videos, video_grid_thw, return_dict=True
                    )
                pixel_values = pixel_values_videos = None
            # Later tokens of a cached sequence are placed by rope_deltas alone.
            # transformers 5.24 named the cache so and takes the name from before, too.
            cache = kwargs.get('cache', kwargs.get('past_key_values'))
            starts = self.rope_deltas is None or cache is None or cache.get_seq_length() == 0
            if position_ids is None and starts:
                position_ids, self.rope_deltas = self.get_rope_index(
                    input_ids,
                    mm_token_type_ids,
                    image_grid_thw,
                    video_grid_thw,
                    attention_mask=attention_mask,
                    image_layout=image_layout,
                    image_num_tokens=image_num_tokens,
                    second_per_grid_ts=kwargs.get('second_per_grid_ts'),
                )
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            image_grid_thw=image_grid_thw,
            video_grid_thw=video_grid_thw,
            mm_token_type_ids=mm_token_type_ids,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )

    def get_image_features(
        self,
        *,
        pixel_values: Tensor,
        image_grid_thw: Tensor | None = None,
        image_layout: Tensor | None = None,
        image_num_tokens: Tensor | None = None,
        **kwargs: object,
    ) -> tuple | BaseModelOutputWithPooling:
        """The stock method, for images read by ``image_layout`` where it is given."""
        if image_layout is None and image_num_tokens is None:
            return super().get_image_features(pixel_values, image_grid_thw, **kwargs)
        layouts = self._layouts(image_layout, image_num_tokens, image_grid_thw)
        # None: as the config says.
        return image_features(self, pixel_values, image_grid_thw, layouts, **{'return_dict': None} | kwargs)

    def get_rope_index(
        self,
        *,
        input_ids: Tensor | None,
        mm_token_type_ids: Tensor | None,
        image_grid_thw: Tensor | None = None,
        image_layout: Tensor | None = None,
        image_num_tokens: Tensor | None = None,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """The stock method, for images read by ``image_layout`` where it is given."""
        if image_layout is None and image_num_tokens is None:
            return super().get_rope_index(input_ids, mm_token_type_ids, image_grid_thw, **kwargs)
        if input_ids is None or mm_token_type_ids is None:
            raise ValueError(
                'image_layout needs input_ids and mm_token_type_ids, from which positions are computed; pass both as '
                'the processor returns them, or position_ids'
            )
        return layout_position_ids(
            self,
            input_ids,
            mm_token_type_ids=mm_token_type_ids,
            image_grid_thw=image_grid_thw,
            layouts=self._layouts(image_layout, image_num_tokens, image_grid_thw),
            **kwargs,
        )

    def _layouts(
        self, image_layout: Tensor | None, image_num_tokens: Tensor | None, image_grid_thw: Tensor | None
    ) -> list[TokenLayout]:
        merge_size = self.config.vision_config.spatial_merge_size
        return layouts_from_inputs(image_layout, image_num_tokens, image_grid_thw, merge_size=merge_size)


class _AdaptiveForConditionalGeneration(StockCheckpoint):
    """What a layout changes in the whole model: the inner one. The stock one comes next among the bases."""

    _inner_class: type[_AdaptiveModel]

    def __init__(self, config: PreTrainedConfig) -> None:
        # Not the next base's: that builds the stock inner model.
        PreTrainedModel.__init__(self, config)
        self.model = self._inner_class(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()


@adapts(Qwen2VLModel)
class AdaptiveQwen2VLModel(_AdaptiveModel, Qwen2VLModel):
    """Qwen2VLModel that takes ``image_layout`` and ``image_num_tokens``."""


@adapts(Qwen2_5_VLModel)
class AdaptiveQwen2_5_VLModel(_AdaptiveModel, Qwen2_5_VLModel):
    """Qwen2_5_VLModel that takes ``image_layout`` and ``image_num_tokens``."""


@adapts(Qwen3VLModel)
class AdaptiveQwen3VLModel(_AdaptiveModel, Qwen3VLModel):
    """Qwen3VLModel that takes ``image_layout`` and ``image_num_tokens``."""


@adapts(Qwen3_5Model)
class AdaptiveQwen3_5Model(_AdaptiveModel, Qwen3_5Model):
    """Qwen3_5Model that takes ``image_layout`` and ``image_num_tokens``."""


@adapts(Qwen2VLForConditionalGeneration)
class AdaptiveQwen2VLForConditionalGeneration(_AdaptiveForConditionalGeneration, Qwen2VLForConditionalGeneration):
    """Qwen2-VL that reads what AdaptiveQwen2VLProcessor returns; loads and saves the stock checkpoints.

    ``forward``, ``generate`` and ``get_image_features`` take two inputs more than the stock model. Without them it is
    the stock model.

    Args:
        image_layout: [total_tokens, 3] long, top, left and size in units of every image token, image after image.
        image_num_tokens: [num_images] long, the number of tokens of each image.

    Raises:
        ValueError: in ``forward`` and ``generate``, the layouts do not match each other, ``image_grid_thw``,
            ``pixel_values`` or the placeholders; in ``from_pretrained``, ``trust_remote_code`` is set.
    """

    _inner_class = AdaptiveQwen2VLModel


@adapts(Qwen2_5_VLForConditionalGeneration)
class AdaptiveQwen2_5_VLForConditionalGeneration(_AdaptiveForConditionalGeneration, Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL that reads what AdaptiveQwen2_5_VLProcessor returns; loads and saves the stock checkpoints.

    See :class:`AdaptiveQwen2VLForConditionalGeneration` for the two inputs that it takes beside the stock ones.
    """

    _inner_class = AdaptiveQwen2_5_VLModel


@adapts(Qwen3VLForConditionalGeneration)
class AdaptiveQwen3VLForConditionalGeneration(_AdaptiveForConditionalGeneration, Qwen3VLForConditionalGeneration):
    """Qwen3-VL that reads what AdaptiveQwen3VLProcessor returns; loads and saves the stock checkpoints.

    See :class:`AdaptiveQwen2VLForConditionalGeneration` for the two inputs that it takes beside the stock ones.
    """

    _inner_class = AdaptiveQwen3VLModel


@adapts(Qwen3_5ForConditionalGeneration)
class AdaptiveQwen3_5ForConditionalGeneration(_AdaptiveForConditionalGeneration, Qwen3_5ForConditionalGeneration):
    """Qwen3.5 that reads what AdaptiveQwen3VLProcessor returns; loads and saves the stock checkpoints.

    See :class:`AdaptiveQwen2VLForConditionalGeneration` for the two inputs that it takes beside the stock ones.
    """

    _inner_class = AdaptiveQwen3_5Model
