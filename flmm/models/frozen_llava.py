"""LLaVA-1.5 and LLaVA-NeXT (LLaVA-1.6) as the frozen model, on Llama (Vicuna), Mistral or another language model."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from flmm.models.frozen_lmm import FrozenLMM
from flmm.registry import MODELS
from flmm.structures import GroundingSample, ImageView


@MODELS.register_module()
class FrozenLlavaSAM(FrozenLMM):
    """F-LMM on LLaVA-1.5, which reads the image once, padded to a square.

    Args:
        **kwargs: FrozenLMM's.
    """

    input_names = ('pixel_values',)

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Tensor]:
        """Run the vision tower and the projector: [tokens, hidden] each."""
        pixels = torch.cat([sample.lmm_inputs['pixel_values'] for sample in samples])
        return self.lmm.model.get_image_features(pixels, return_dict=True).pooler_output


@MODELS.register_module()
class FrozenLlavaNextSAM(FrozenLMM):
    """F-LMM on LLaVA-NeXT, which reads the squashed image and then its tiles.

    The attention to the squashed image is resized to the grid of the tiles: channels are all heads of the former, then
    all heads of the latter.

    Args:
        **kwargs: FrozenLMM's.
    """

    num_views: ClassVar[int] = 2
    input_names = ('pixel_values', 'image_sizes')

    def check_sample(self, sample: GroundingSample) -> None:
        """Refuse also what was cut into another number of tiles: processor and LMM have their own list of sizes."""
        super().check_sample(sample)
        config = self.lmm.config
        (size,) = sample.lmm_inputs['image_sizes'].tolist()
        expected = image_size_to_num_patches(size, config.image_grid_pinpoints, config.vision_config.image_size)
        found = sample.lmm_inputs['pixel_values'].shape[1]
        if found != expected:
            raise ValueError(
                f'image {sample.image_path!r} was cut into {found} squares, the base view included, the model expects '
                f'{expected}; image_grid_pinpoints must be the same in the processor and in the config of the model'
            )

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Tensor]:
        """Run the vision tower and the projector, remove the padding, end rows: [tokens, hidden] each."""
        return self.lmm.model.get_image_features(
            # The squares of all images in a row: stacked by image they would have to be as many for each.
            torch.cat([sample.lmm_inputs['pixel_values'][0] for sample in samples]),
            torch.cat([sample.lmm_inputs['image_sizes'] for sample in samples]),
            return_dict=True,
        ).pooler_output

    def to_last_view(self, maps: Tensor, view: ImageView, last: ImageView) -> Tensor:
        """Resize from grid to grid, as F-LMM does, whose checkpoints were trained on that.

        Where the model leaves padding at the tiles or cuts too much of it, this is off by half a cell at most.
        """
        return F.interpolate(maps, size=last.layout.grid_size, mode='bilinear', align_corners=False)
