"""DeepSeek-VL as the frozen model."""

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.models.frozen_lmm import FrozenLMM
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class FrozenDeepseekVLSAM(FrozenLMM):
    """F-LMM on DeepSeek-VL, with one vision tower (1.3B) or two whose features are joined token by token (7B).

    Args:
        **kwargs: FrozenLMM's.
    """

    @property
    def input_names(self) -> tuple[str, ...]:
        """One picture, or one for each of the two towers."""
        fine = ('high_res_pixel_values',) if hasattr(self.lmm.config, 'high_res_vision_config') else ()
        return ('pixel_values', *fine)

    def image_features(self, samples: list[GroundingSample]) -> Tensor:
        """Run the vision towers: [images, 576, hidden]."""
        pixels = {
            # The fine tower does not cast what it is given.
            name: torch.cat([sample.lmm_inputs[name] for sample in samples]).to(self.lmm.dtype)
            for name in samples[0].lmm_inputs
        }
        return self.lmm.model.get_image_features(**pixels).pooler_output

    def image_outputs(self, features: list[Tensor]) -> BaseModelOutputWithPooling:
        """Stack the features, as the inner model takes one tensor of all images."""
        return BaseModelOutputWithPooling(pooler_output=torch.stack(features))
