"""What a family of LMMs says of itself; docs/add_an_lmm.md adds one step by step.

Letters: B samples, S tokens of their prompts (padded).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.geometry import resample_view
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.structures import GroundingSample, ImageView


class LMMFamily:
    """What differs between families of LMMs: what they read of an image, how, and where its tokens lie.

    A subclass of :class:`flmm.models.FrozenLMM` names its inputs, runs its vision part (:meth:`image_features`), and
    overrides of the others what is not so with it.
    """

    num_views: ClassVar[int] = 1
    """How many views of an image the mask head reads; where a sample has fewer, its last stands for the others."""
    input_names: Sequence[str]
    """What the family's image processor gives for ``lmm_inputs``; a sample with others was made for another LMM."""
    lmm: PreTrainedModel | LMMWithoutWeights

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Any]:
        """Run the vision part on the images of ``samples``: for each what :meth:`image_outputs` takes."""
        raise NotImplementedError

    def image_outputs(self, features: list[Any]) -> BaseModelOutputWithPooling:
        """Put the features of the images of a batch together, as the inner model takes them from its encoder."""
        return BaseModelOutputWithPooling(pooler_output=tuple(features))

    def text_inputs(self, samples: list[GroundingSample], text: dict[str, Tensor]) -> dict[str, Tensor]:
        """Say what the inner model takes beside ``input_ids``, such as positions.

        Args:
            samples: the batch.
            text: ``input_ids`` and ``attention_mask``, [B, S] each: the prompts, each with a token of text behind it,
                padded on the right.

        Returns:
            Tensors of the forward by name, whose last dimension is S. Where ``position_ids`` is among them, text behind
            the prompt goes on counting from the position of its first token.
        """
        return {}

    @property
    def video_input_names(self) -> Sequence[str]:
        """Return ``input_names`` of videos; none where the family reads no videos."""
        return ()

    def placeholder_id(self, sample: GroundingSample) -> int:
        """Return the token that stands in the sequence for what is shown there."""
        config = self.lmm.config
        return config.video_token_id if sample.is_video else config.image_token_id

    def to_last_view(self, maps: Tensor, view: ImageView, last: ImageView) -> Tensor:
        """Bring maps from the grid of a view to that of the last, each cell to its place in the image."""
        return resample_view(maps, view.meta_data, last.meta_data, last.layout.grid_size)

    def check_sample(self, sample: GroundingSample) -> None:
        """Refuse what was processed for another LMM.

        Raises:
            ValueError: naming the image and what does not fit, or that the LMM has no weights.
        """
        if isinstance(self.lmm, LMMWithoutWeights):
            raise ValueError(
                f'the sample of {sample.image_path!r} carries no features, and the LMM was built without weights; '
                'read stored features (CachedFeatures), or load the LMM'
            )
        names = self.video_input_names if sample.is_video else self.input_names
        if sample.is_video and not names:
            raise ValueError(
                f'video {sample.image_path!r} was processed to tokens of a video, which {type(self).__name__} does not '
                "read; read its frames as single images (read_as='images')"
            )
        if sample.lmm_inputs.keys() != set(names):
            raise ValueError(
                f'image {sample.image_path!r} was processed to {sorted(sample.lmm_inputs)}, the model reads '
                f"{sorted(names)}; use the model's own processor"
            )
        if len(sample.views) > self.num_views and not sample.is_video:
            raise ValueError(
                f'image {sample.image_path!r} has {len(sample.views)} views, the model reads {self.num_views} '
                "(num_views); use the model's own processor"
            )
        expected = self.placeholder_id(sample)
        found = set(sample.input_ids[torch.cat([view.columns for view in sample.views])].tolist())
        if found != {expected}:
            raise ValueError(
                f'image {sample.image_path!r} was processed with image tokens {sorted(found)}, the model has '
                f"{expected}; use the model's own processor"
            )
