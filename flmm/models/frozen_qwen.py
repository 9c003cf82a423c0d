"""Qwen2-VL, Qwen2.5-VL and Qwen3.5 as the frozen model."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Qwen2_5_VLModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.models.frozen_lmm import FrozenLMM
from flmm.qwen.layout_inputs import IMAGE_TOKEN_TYPE, VIDEO_TOKEN_TYPE, QwenModel, image_features, position_ids
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class FrozenQwenSAM(FrozenLMM):
    """F-LMM on a Qwen-VL model, whose image tokens may be those of any layout, and of another in each sample.

    It runs Qwen2-VL, Qwen2.5-VL and Qwen3.5. The layers of Qwen3.5 that have attention are about every fourth; the
    others carry what they read in a state, from left to right, and have no maps.

    Args:
        **kwargs: FrozenLMM's.
    """

    input_names = ('pixel_values', 'image_grid_thw')

    @property
    def video_input_names(self) -> tuple[str, ...]:
        """What the processor gives for a video: Qwen2.5-VL's alone says how many seconds a pair of frames covers."""
        is_timed = isinstance(self.lmm.model, Qwen2_5_VLModel)
        return ('pixel_values_videos', 'video_grid_thw', *(('second_per_grid_ts',) if is_timed else ()))

    def check_sample(self, sample: GroundingSample) -> None:
        """Refuse also what was cut into patches of another size: Qwen's models differ in it, not in their inputs."""
        super().check_sample(sample)
        vision = self.lmm.config.vision_config
        expected = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        found = sample.lmm_inputs['pixel_values_videos' if sample.is_video else 'pixel_values'].shape[1]
        if found != expected:
            raise ValueError(
                f'image {sample.image_path!r} was cut into patches of {found} numbers, the model reads {expected} '
                f"({vision.patch_size} px); use the model's own processor"
            )

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Tensor]:
        """Run the vision tower, by the layout of each image: [N, hidden] each."""
        return self.vision_outputs(samples).pooler_output

    def vision_outputs(self, samples: list[GroundingSample]) -> BaseModelOutputWithPooling:
        """Return all that the vision tower says of the images, or of the videos, one after the other."""
        if samples[0].is_video:
            inner: QwenModel = self.lmm.model
            return inner.get_video_features(
                _joined(samples, 'pixel_values_videos'), _joined(samples, 'video_grid_thw'), return_dict=True
            )
        return image_features(
            self.lmm.model,
            _joined(samples, 'pixel_values'),
            _joined(samples, 'image_grid_thw'),
            [sample.layout for sample in samples],
        )

    def text_inputs(self, samples: list[GroundingSample], text: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the rotary positions, [3, B, S]: of images they follow from the layouts, of videos from the grids."""
        is_shown = (text['input_ids'] == self.placeholder_id(samples[0])).int()
        if samples[0].is_video:
            types = is_shown * VIDEO_TOKEN_TYPE
            grids = {name: _joined(samples, name) for name in self.video_input_names if name != 'pixel_values_videos'}
            inner: QwenModel = self.lmm.model
            positions, _ = inner.get_rope_index(**text, mm_token_type_ids=types, **grids)
        else:
            types = is_shown * IMAGE_TOKEN_TYPE
            positions, _ = position_ids(
                self.lmm.model,
                **text,
                mm_token_type_ids=types,
                image_grid_thw=_joined(samples, 'image_grid_thw'),
                layouts=[sample.layout for sample in samples],
            )
        return {'position_ids': positions, 'mm_token_type_ids': types}


def _joined(samples: list[GroundingSample], name: str) -> Tensor:
    parts = [sample.lmm_inputs[name] for sample in samples]
    # torch.cat would copy even one tensor, and pixels are the largest of the frozen pass.
    return parts[0] if len(parts) == 1 else torch.cat(parts)
