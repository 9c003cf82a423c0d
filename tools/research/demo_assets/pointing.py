"""How well raw attention points: does a head's most attended unit lie on the shape that a phrase means?"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from demo_assets.collator import SceneCollator
from demo_assets.conversations import Phrase, SceneConversation, SceneConversations
from flmm.shapes import SceneConfig


@dataclass(frozen=True, kw_only=True)
class PhraseMaps:
    """Attention of one phrase.

    Args:
        conversation: what it is part of.
        phrase: the phrase.
        maps: [layers * heads, rows, columns] float, the mean over the phrase's tokens.
        cover: [rows, columns] float, the share of each unit that the meant shapes cover.
    """

    conversation: SceneConversation
    phrase: Phrase
    maps: Tensor
    cover: np.ndarray


@torch.no_grad()
def phrase_maps(
    lmm: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    *,
    config: SceneConfig,
    seed: int,
    num_scenes: int,
) -> Iterator[PhraseMaps]:
    """Read the attention of every phrase, all phrases of a scene joined by '.' in one answer without locations.

    ``lmm`` must use eager attention, the one that gives its weights away.
    """
    scenes = SceneConversations(config, seed=seed, located=0.0, captions=False)
    collate = SceneCollator(processor)
    for index in range(num_scenes):
        conversation = scenes[index]
        batch = collate([conversation])
        keys = ('input_ids', 'attention_mask', 'mm_token_type_ids', 'pixel_values', 'image_grid_thw')
        inputs = {key: batch[key].to(lmm.device) for key in keys}
        attentions = torch.cat(lmm.model(**inputs, output_attentions=True, use_cache=False).attentions, dim=1)[0]
        to_image = attentions[:, :, inputs['mm_token_type_ids'][0] == 1].float().cpu()
        for phrase, (start, stop) in zip(*collate.phrase_spans(conversation, batch['labels'][0]), strict=True):
            cover = conversation.cover(phrase)
            maps = to_image[:, start:stop].mean(dim=1).unflatten(1, cover.shape)
            yield PhraseMaps(conversation=conversation, phrase=phrase, maps=maps, cover=cover)


def pointing_accuracy(maps: list[PhraseMaps]) -> tuple[int, dict[str, float], dict[str, float]]:
    """Score the best single head, chosen on the odd phrases and scored on the even ones.

    A hit is an argmax unit of which the shape covers at least half, or as much as of any unit if less.

    Returns:
        The head's channel (layer * heads + head); its accuracy in percent by kind of expression and over 'all'; the
        same for chance, a unit drawn evenly.
    """
    hits = torch.tensor(np.stack([_hits(item) for item in maps])).float()
    chance = torch.tensor([float((item.cover >= _least_cover(item)).mean()) for item in maps])
    best = int(hits[1::2].mean(dim=0).argmax())
    rows = defaultdict(list)
    for row in range(0, len(maps), 2):
        rows['all'].append(row)
        rows[maps[row].phrase.kind].append(row)
    return (
        best,
        {kind: 100 * hits[index, best].mean().item() for kind, index in rows.items()},
        {kind: 100 * chance[index].mean().item() for kind, index in rows.items()},
    )


def _least_cover(item: PhraseMaps) -> float:
    return min(0.5, float(item.cover.max()))


def _hits(item: PhraseMaps) -> np.ndarray:
    return item.cover.flatten()[item.maps.flatten(1).argmax(dim=1).numpy()] >= _least_cover(item)
