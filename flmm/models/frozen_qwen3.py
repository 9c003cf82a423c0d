"""Qwen3-VL as the frozen model."""

from collections.abc import Sequence

from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from flmm.models.frozen_qwen import FrozenQwenSAM
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class FrozenQwen3VLSAM(FrozenQwenSAM):
    """F-LMM on Qwen3-VL, which reads an image several times: what its first text layers add comes from deeper down.

    Args:
        **kwargs: FrozenLMM's.
    """

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Sequence[Tensor]]:
        """Run the vision tower, by the layout of each image.

        Returns:
            For each image [N, hidden] tensors: what stands for its tokens in the text, then what is added to them after
            each of the first layers.
        """
        outputs = self.vision_outputs(samples)
        return list(zip(outputs.pooler_output, *outputs.deepstack_features, strict=True))

    def image_outputs(self, features: list[Sequence[Tensor]]) -> BaseModelOutputWithDeepstackFeatures:
        """Put the features of the images of a batch together, those of each layer in the order of the placeholders."""
        tokens, *added = zip(*features, strict=True)
        return BaseModelOutputWithDeepstackFeatures(pooler_output=tokens, deepstack_features=added)
