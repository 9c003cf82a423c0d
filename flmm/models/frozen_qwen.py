"""Qwen2-VL and Qwen2.5-VL as the frozen model."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.models.attention_capture import (
    CAPTURING_SDPA,
    AttentionCapture,
    HiddenStateCapture,
    PhraseTokens,
    first_layers,
)
from flmm.models.frozen_lmm import FrozenLMM
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.qwen.layout_inputs import image_features, position_ids
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class FrozenQwenSAM(FrozenLMM):
    """F-LMM on Qwen2-VL or Qwen2.5-VL, whose image tokens may be those of any layout, and of another in each sample.

    Args:
        coarse_attention: how the attention that a token of several units gets is laid onto the dense grid: 'spread'
            divides it over its units, so that the total is conserved; 'copy' gives all of it to each unit.
        **kwargs: FrozenLMM's.
    """

    lmm: Qwen2VLForConditionalGeneration | Qwen2_5_VLForConditionalGeneration

    def __init__(self, *, coarse_attention: str = 'spread', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if coarse_attention not in ('spread', 'copy'):
            raise ValueError(f"coarse_attention is {coarse_attention!r}, expected 'spread' or 'copy'")
        self.coarse_attention = coarse_attention

    def _prepare_lmm(self) -> None:
        if isinstance(self.lmm, LMMWithoutWeights):
            name = type(self.lmm.config).__name__
            known = isinstance(self.lmm.config, (Qwen2VLConfig, Qwen2_5_VLConfig))
        else:
            name = type(self.lmm).__name__
            known = isinstance(self.lmm, (Qwen2VLForConditionalGeneration, Qwen2_5_VLForConditionalGeneration))
        if not known:
            raise ValueError(f'lmm is a {name}; FrozenQwenSAM reads Qwen2-VL and Qwen2.5-VL')
        text_config = self.lmm.config.text_config
        if set(text_config.layer_types) != {'full_attention'}:
            raise ValueError('lmm uses sliding-window attention; set use_sliding_window=False in its text_config')
        if not isinstance(self.lmm, LMMWithoutWeights):
            self.lmm.set_attn_implementation({'text_config': CAPTURING_SDPA})
        self.num_layers = text_config.num_hidden_layers
        self.num_heads = text_config.num_attention_heads
        self.hidden_size = text_config.hidden_size

    def _run_lmm(self, samples: list[GroundingSample]) -> tuple[list[Tensor], list[Tensor]]:
        if isinstance(self.lmm, LMMWithoutWeights):
            raise ValueError(
                f'the sample of {samples[0].image_path!r} carries no features, and the LMM was built without weights; '
                'read stored features (CachedFeatures), or load the LMM'
            )
        image_token_id = self.lmm.config.image_token_id
        for sample in samples:
            if sample.image_token_id != image_token_id:
                raise ValueError(
                    f'image {sample.image_path!r} was processed with image token {sample.image_token_id}, the model '
                    f"has {image_token_id}; use the model's own processor in QwenImageProcessorWrapper"
                )
        phrases = [
            PhraseTokens.from_ids(
                input_ids=sample.input_ids,
                mask_ids=sample.mask_ids,
                image_token_id=image_token_id,
                num_masks=sample.num_masks,
            )
            for sample in samples
        ]
        decoder = self.lmm.model.language_model
        text = self._padded_text(samples, image_token_id)
        layouts = [sample.layout for sample in samples]
        positions, _ = position_ids(
            self.lmm.model,
            **text,
            image_grid_thw=torch.cat([sample.image_grid_thw for sample in samples]),
            layouts=layouts,
        )
        attention = AttentionCapture(phrases=phrases, merge=self.merge, heads=self.heads)
        with (
            first_layers(decoder, self.depth) as outputs,
            HiddenStateCapture(modules=outputs, phrases=phrases) as hidden,
        ):
            # The inner model: logits over the vocabulary are not needed, so lm_head does not run.
            # Nor is a mask of the padding: it is behind everything that is read, and positions are given. Without one
            # SDPA takes its causal kernel, which needs no S x S mask in memory.
            self.lmm.model(
                input_ids=text['input_ids'],
                mm_token_type_ids=text['mm_token_type_ids'],
                position_ids=positions,
                mm_encoder_outputs={'image': self._image_features(samples)},
                use_cache=False,
                attention_capture=attention,
            )
        maps = [
            layout.to_dense(of_sample, mode=self.coarse_attention)
            for layout, of_sample in zip(layouts, attention.maps(), strict=True)
        ]
        return maps, hidden.states()

    def _image_features(self, samples: list[GroundingSample]) -> BaseModelOutputWithPooling:
        """Run the vision tower once for each image, which several samples (a phrase each) may show."""
        distinct: list[GroundingSample] = []
        index = []
        for sample in samples:
            known = (i for i, other in enumerate(distinct) if _show_the_same(sample, other))
            index.append(next(known, len(distinct)))
            if index[-1] == len(distinct):
                distinct.append(sample)
        features = image_features(
            self.lmm.model,
            # torch.cat would copy even one tensor, the largest of the frozen pass.
            distinct[0].pixel_values if len(distinct) == 1 else torch.cat([sample.pixel_values for sample in distinct]),
            torch.cat([sample.image_grid_thw for sample in distinct]),
            [sample.layout for sample in distinct],
        ).pooler_output
        return BaseModelOutputWithPooling(pooler_output=tuple(features[i] for i in index))

    @staticmethod
    def _padded_text(samples: list[GroundingSample], image_token_id: int) -> dict[str, Tensor]:
        # Padding goes to the right, behind everything that a phrase attends to. Its id is any but the image token's.
        padding = int(image_token_id == 0)
        input_ids = pad_sequence([sample.input_ids for sample in samples], batch_first=True, padding_value=padding)
        lengths = torch.tensor([len(sample.input_ids) for sample in samples], device=input_ids.device)
        return {
            'input_ids': input_ids,
            'attention_mask': (torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]).long(),
            'mm_token_type_ids': (input_ids == image_token_id).int(),
        }


def _show_the_same(first: GroundingSample, second: GroundingSample) -> bool:
    return (
        first.image is second.image
        and torch.equal(first.image_layout, second.image_layout)
        and torch.equal(first.pixel_values, second.pixel_values)
    )
