"""Qwen2-VL, Qwen2.5-VL and Qwen3.5 as the frozen model."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.models.frozen_lmm import FrozenLMM
from flmm.qwen.layout_inputs import image_features, position_ids
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

    def check_sample(self, sample: GroundingSample) -> None:
        """Refuse also what was cut into patches of another size: Qwen's models differ in it, not in their inputs."""
        super().check_sample(sample)
        vision = self.lmm.config.vision_config
        expected = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        found = sample.lmm_inputs['pixel_values'].shape[1]
        if found != expected:
            raise ValueError(
                f'image {sample.image_path!r} was cut into patches of {found} numbers, the model reads {expected} '
                f"({vision.patch_size} px); use the model's own processor"
            )

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Tensor]:
        """Run the vision tower, by the layout of each image: [N, hidden] each."""
        return self.vision_outputs(samples).pooler_output

    def vision_outputs(self, samples: list[GroundingSample]) -> BaseModelOutputWithPooling:
        """Return all that the vision tower says of the images, one after the other."""
        pixels = [sample.lmm_inputs['pixel_values'] for sample in samples]
        return image_features(
            self.lmm.model,
            # torch.cat would copy even one tensor, the largest of the frozen pass.
            pixels[0] if len(pixels) == 1 else torch.cat(pixels),
            _grids(samples),
            [sample.layout for sample in samples],
        )

    def text_inputs(self, samples: list[GroundingSample], text: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the rotary positions, [3, B, S], which follow from the layouts."""
        types = (text['input_ids'] == self.lmm.config.image_token_id).int()
        positions, _ = position_ids(
            self.lmm.model,
            **text,
            mm_token_type_ids=types,
            image_grid_thw=_grids(samples),
            layouts=[sample.layout for sample in samples],
        )
        return {'position_ids': positions, 'mm_token_type_ids': types}


def _grids(samples: list[GroundingSample]) -> Tensor:
    return torch.cat([sample.lmm_inputs['image_grid_thw'] for sample in samples])
