"""The losses that grow the demo model: next tokens, and linear probes that are thrown away afterwards.

Letters: B conversations, S tokens, T image tokens of all images, R phrases, D hidden width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from demo_assets.tokenizer import NUM_BINS
from flmm.qwen.layout_inputs import image_features, layouts_from_inputs, position_ids
from flmm.shapes import COLOURS, KINDS

WEIGHTS = {
    'words': 1.0,
    'token_colour': 0.3,
    'token_kind': 1.0,
    'token_box': 0.3,
    'token_place': 0.3,
    'phrase_place': 0.5,
    'phrase_mask': 0.3,
    'attention': 1.0,
}
IMAGE_LAYER = 2  # the layer of the language model whose image tokens are probed


class ProbedModel(nn.Module):
    """The model with its probes; called by ``Trainer`` with a batch of :class:`~demo_assets.collator.SceneCollator`.

    Probes on image features ask every token for the colour, kind and box of its shape; in the language model they ask
    image tokens for their place, and the last token of a phrase for the place and the mask of what it means. One more
    probe mixes the attention maps of all heads, averaged over a phrase's tokens, into the mask: dense labels reach the
    attention itself.

    Args:
        lmm: the model to grow.
        vision_only: train the vision tower by its own probes, without the language model.
    """

    def __init__(self, lmm: Qwen2_5_VLForConditionalGeneration, *, vision_only: bool = False) -> None:
        super().__init__()
        self.lmm = lmm
        self.vision_only = vision_only
        width = lmm.config.text_config.hidden_size
        self.token_colour = nn.Linear(width, len(COLOURS) + 1)
        self.token_kind = nn.Linear(width, len(KINDS) + 1)
        self.token_box = nn.Linear(width, 4)
        self.token_place = nn.Linear(width, 2 * NUM_BINS)
        self.phrase_place = nn.Linear(width, 2 * NUM_BINS)
        self.phrase_query = nn.Linear(width, width)
        self.token_key = nn.Linear(width, width)
        text = lmm.config.text_config
        self.head_mix = nn.Parameter(torch.zeros(text.num_hidden_layers * text.num_attention_heads))

    def forward(
        self,
        pixel_values: Tensor,
        image_grid_thw: Tensor,
        image_layout: Tensor,
        image_num_tokens: Tensor,
        token_targets: dict[str, Tensor],
        phrase_targets: dict[str, Tensor],
        **text: Tensor,
    ) -> dict[str, object]:
        """Return the loss and its ``parts``."""
        layouts = layouts_from_inputs(image_layout, image_num_tokens, image_grid_thw, merge_size=2)
        features = image_features(self.lmm.model, pixel_values, image_grid_thw, layouts)
        losses = self._token_losses(torch.cat(features.pooler_output), token_targets)
        if not self.vision_only:
            positions, _ = position_ids(
                self.lmm.model,
                text['input_ids'],
                attention_mask=text['attention_mask'],
                mm_token_type_ids=text['mm_token_type_ids'],
                image_grid_thw=image_grid_thw,
                layouts=layouts,
            )
            losses |= self._language_losses(features, positions, token_targets, phrase_targets, **text)
        loss = sum(WEIGHTS[name] * value for name, value in losses.items())
        return {'loss': loss, 'parts': {name: value.detach() for name, value in losses.items()}}

    def _token_losses(self, features: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        shape = targets['kind'] > 0
        return {
            'token_colour': F.cross_entropy(self.token_colour(features), targets['colour']),
            'token_kind': F.cross_entropy(self.token_kind(features), targets['kind']),
            'token_box': F.smooth_l1_loss(self.token_box(features[shape]), targets['box'][shape]),
        }

    def _language_losses(
        self,
        features: BaseModelOutputWithPooling,
        positions: Tensor,
        token_targets: dict[str, Tensor],
        phrase_targets: dict[str, Tensor],
        *,
        input_ids: Tensor,
        attention_mask: Tensor,
        mm_token_type_ids: Tensor,
        labels: Tensor,
        word_weight: Tensor,
    ) -> dict[str, Tensor]:
        output = self.lmm.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=positions,
            mm_encoder_outputs={'image': features},
            output_hidden_states=True,
            output_attentions=True,
            use_cache=False,
        )
        words = output.last_hidden_state
        image = output.hidden_states[IMAGE_LAYER]
        is_image = mm_token_type_ids == 1
        row, single = phrase_targets['row'], phrase_targets['single']
        phrases = words[row, phrase_targets['last']]
        target = torch.cat([mask / mask.sum() for mask in phrase_targets['masks']])
        maps = _phrase_attention(torch.cat(output.attentions, dim=1), phrase_targets)
        return {
            'words': self._word_loss(words, labels, word_weight),
            'token_place': _place_loss(self.token_place(image[is_image]), token_targets['place']),
            'phrase_place': _place_loss(self.phrase_place(phrases[single]), phrase_targets['place'][single]),
            'phrase_mask': self._mask_loss(phrases, image, is_image[row], row, target),
            'attention': self._attention_loss(maps, is_image[row], target),
        }

    def _word_loss(self, words: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """Weighted next-token loss; weights count per answer token, so the mean does not depend on padding."""
        known = labels[:, 1:] >= 0
        logits = self.lmm.lm_head(words[:, :-1][known])
        loss = F.cross_entropy(logits, labels[:, 1:][known], reduction='none')
        weight = weight[:, 1:][known]
        return (loss * weight).sum() / weight.sum()

    def _mask_loss(self, phrases: Tensor, image: Tensor, is_image: Tensor, row: Tensor, target: Tensor) -> Tensor:
        """Cross entropy between the area of a phrase in each token, as a distribution, and the phrase's pointer."""
        logits = torch.einsum('rd,rsd->rs', self.phrase_query(phrases), self.token_key(image)[row])
        logits = (logits / image.shape[-1] ** 0.5).masked_fill(~is_image, -torch.inf)
        return -(target * logits.log_softmax(dim=1)[is_image]).sum() / len(row)

    def _attention_loss(self, maps: Tensor, is_image: Tensor, target: Tensor) -> Tensor:
        """The same, for the attention [R, C, S] that is paid to the image, heads mixed by one learned weight each."""
        maps = maps * is_image[:, None]
        share = torch.einsum('c,rcs->rs', self.head_mix.softmax(dim=0), maps / maps.sum(dim=2, keepdim=True))
        return -(target * (share[is_image] + 1e-5).log()).sum() / len(maps)


def _phrase_attention(attentions: Tensor, phrases: dict[str, Tensor]) -> Tensor:
    """Average attention [B, C, S, S] over the tokens of each phrase: [R, C, S]."""
    row, first, last = phrases['row'], phrases['first'], phrases['last']
    position = torch.arange(attentions.shape[-1], device=row.device)
    inside = (position >= first[:, None]) & (position <= last[:, None])
    slot = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    average = attentions.new_zeros(len(attentions), int(slot.max()) + 1, len(position))
    average[row, slot] = inside / inside.sum(dim=1, keepdim=True)
    return torch.einsum('bps,bcst->bpct', average, attentions)[row, slot]


def _place_loss(logits: Tensor, place: Tensor) -> Tensor:
    """Cross entropy of column and row bins; logits [N, 2 * NUM_BINS], place [N, 2]."""
    return F.cross_entropy(logits.unflatten(1, (2, NUM_BINS)).flatten(0, 1), place.flatten())
