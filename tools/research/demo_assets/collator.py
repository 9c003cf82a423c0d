"""Conversations about scenes as a batch, with the dense labels that the throw-away probes learn from.

Letters: B conversations, S tokens, T image tokens of all images (one for each unit of 28 px, fewer with adaptive
patches), R phrases of all conversations.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2_5_VLProcessor

from demo_assets.conversations import Phrase, SceneConversation, cover_centre
from demo_assets.tokenizer import NUM_BINS, X_TOKENS, Y_TOKENS
from flmm.apt import TokenLayout
from flmm.finetune import ChatCollator
from flmm.qwen import AdaptiveQwen2_5_VLProcessor
from flmm.qwen.layout_inputs import layouts_from_inputs
from flmm.shapes import COLOURS, KINDS

MIN_COVER = 0.2  # share of a unit that a shape must cover to be its label


class SceneCollator(ChatCollator):
    """Adds to the collated batch what the probes need.

    Added keys: token_targets (colour, kind [T] long, 0 = background; box [T, 4] float, distances from the token's
    centre to the left, top, right and bottom of the shape in units; place [T, 2] long, column and row), phrase_targets
    (row, first, last [R] long: sequence, first and last token of each phrase; place [R, 2] long; single [R] bool;
    masks: R float tensors [T_row], covered units), word_weight [B, S] float: loss weight of each label.

    Args:
        processor: the demo's processor.
        word_weight: weight of the words of an answer; locations weigh 1.
        pruned: share of batches whose images are pruned, to a budget of 10 to 90 % by a random measure.
    """

    def __init__(self, processor: Qwen2_5_VLProcessor, *, word_weight: float = 0.3, pruned: float = 0.0) -> None:
        adaptive = AdaptiveQwen2_5_VLProcessor(
            image_processor=processor.image_processor,
            tokenizer=processor.tokenizer,
            video_processor=processor.video_processor,
            chat_template=processor.chat_template,
        )
        super().__init__(adaptive)
        self.word_weight = word_weight
        self.pruned = pruned
        self._location_ids = torch.tensor(processor.tokenizer.convert_tokens_to_ids([*X_TOKENS, *Y_TOKENS]))

    def __call__(self, conversations: Sequence[SceneConversation]) -> dict[str, object]:
        """Collate; see the class."""
        self._choose_patches(np.random.default_rng(list(conversations[0].source.encode())))
        batch = super().__call__(conversations)
        layouts = layouts_from_inputs(
            batch['image_layout'], batch['image_num_tokens'], batch['image_grid_thw'], merge_size=2
        )
        tokens = [_token_targets(c, layout) for c, layout in zip(conversations, layouts, strict=True)]
        batch['token_targets'] = {key: torch.cat([t[key] for t in tokens]) for key in tokens[0]}
        batch['phrase_targets'] = self._phrase_targets(batch, conversations, layouts)
        located = torch.isin(batch['labels'], self._location_ids)
        batch['word_weight'] = torch.where(located, 1.0, self.word_weight)
        return batch

    def _choose_patches(self, rng: np.random.Generator) -> None:
        images = self.processor.image_processor
        images.patch_selection_method = 'budget' if rng.random() < self.pruned else 'none'
        # As many budgets below 0.3 as above: the fewer the tokens, the harder the image.
        images.alpha = float(np.exp(rng.uniform(np.log(0.1), np.log(0.9))))
        images.method, images.blur = [('entropy', 1), ('laplacian', 1), ('laplacian', 5)][rng.integers(3)]

    def _phrase_targets(
        self, batch: dict[str, Tensor], conversations: Sequence[SceneConversation], layouts: list[TokenLayout]
    ) -> dict[str, object]:
        rows, firsts, lasts, places, single, masks = [], [], [], [], [], []
        for row, conversation in enumerate(conversations):
            for phrase, (start, stop) in zip(*self.phrase_spans(conversation, batch['labels'][row]), strict=True):
                rows.append(row)
                firsts.append(start)
                lasts.append(stop - 1)
                cover = conversation.cover(phrase)
                places.append(cover_centre(cover))
                single.append(len(phrase.shape_indices) == 1)
                masks.append(layouts[row].to_tokens(torch.from_numpy(cover)))
        return {
            'row': torch.tensor(rows),
            'first': torch.tensor(firsts),
            'last': torch.tensor(lasts),
            'place': torch.tensor(places),
            'single': torch.tensor(single),
            'masks': masks,
        }

    def phrase_spans(
        self, conversation: SceneConversation, labels: Tensor
    ) -> tuple[list[Phrase], list[tuple[int, int]]]:
        """The phrases of the answer and the [start, stop) of their tokens in the sequence with these ``labels``."""
        tokenizer = self.processor.tokenizer
        position = int((labels >= 0).nonzero()[0])
        phrases, spans = [], []
        for part in conversation.parts:
            text = part if isinstance(part, str) else part.text
            length = len(tokenizer.encode(text, add_special_tokens=False))
            if isinstance(part, Phrase):
                phrases.append(part)
                spans.append((position, position + length))
                length += 2 * part.located
            position += length
        assert labels[position] == self._end, f'{conversation.source}: the parts do not tokenize like the answer'
        return phrases, spans


def _token_targets(conversation: SceneConversation, layout: TokenLayout) -> dict[str, Tensor]:
    scene = conversation.scene
    size = layout.tokens[:, 2:]
    cover = layout.to_tokens(torch.from_numpy(conversation.covers)) / size[:, 0].square()
    owner = torch.where(cover.amax(dim=0) >= MIN_COVER, cover.argmax(dim=0), -1)
    colours, kinds = list(COLOURS), list(KINDS)
    centres = layout.tokens[:, :2].flip(1) + size / 2
    scale = torch.tensor([layout.grid_size[1] / scene.width, layout.grid_size[0] / scene.height] * 2)
    edges = torch.tensor([[*shape.box] for shape in scene.shapes] + [[0.0] * 4])[owner] * scale
    return {
        'colour': torch.tensor([colours.index(shape.colour) + 1 for shape in scene.shapes] + [0])[owner],
        'kind': torch.tensor([kinds.index(shape.kind) + 1 for shape in scene.shapes] + [0])[owner],
        'box': ((edges - centres.repeat(1, 2)) * torch.tensor([-1, -1, 1, 1])).float(),
        'place': centres.long().clamp(max=NUM_BINS - 1),
    }
