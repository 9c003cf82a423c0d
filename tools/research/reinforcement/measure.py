"""What a policy says of scenes that no training has seen, and how rewards score it."""

from typing import Any

import torch
from transformers import PreTrainedModel

from flmm.reinforce import ANSWER_FORMATS, REWARDS, MaskIoU, PromptDataset

BATCH = 32
MAX_NEW_TOKENS = 28
FORMAT = ANSWER_FORMATS['location_tokens']


@torch.no_grad()
def measure(
    model: PreTrainedModel, processor: Any, prompts: PromptDataset, mask_iou: MaskIoU, *, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Let a policy answer all prompts, once greedily and once by lot.

    Returns:
        ``greedy`` and ``sampled``: for each prompt ``said``, and its reward by name.
    """
    model.eval()
    torch.manual_seed(seed)
    found = {}
    for name, settings in {'greedy': {'do_sample': False}, 'sampled': {'do_sample': True, 'top_k': 0}}.items():
        rows = [prompts[i] for i in range(len(prompts))]
        texts = [
            text
            for start in range(0, len(rows), BATCH)
            for text in _said(model, processor, rows[start:][:BATCH], settings)
        ]
        answers = [FORMAT.parse(text, row['frame']) for text, row in zip(texts, rows, strict=True)]
        truths = [row['truth'] for row in rows]
        ious = mask_iou(answers, truths, [row['images'][0] for row in rows], [row['source'] for row in rows])
        found[name] = [
            {
                'said': text,
                'format': float(answer is not None),
                'point_in_mask': 0.0 if answer is None else REWARDS['point_in_mask'].score(answer, truth),
                'mask_iou': iou,
            }
            for text, answer, truth, iou in zip(texts, answers, truths, ious, strict=True)
        ]
    return found


def _said(model: PreTrainedModel, processor: Any, rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[str]:
    texts = [processor.apply_chat_template(row['prompt'], add_generation_prompt=True) for row in rows]
    images = [image for row in rows for image in row['images']]
    inputs = processor(text=texts, images=images, padding=True, padding_side='left', return_tensors='pt')
    tokens = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, use_cache=True, **settings)
    return processor.batch_decode(tokens[:, inputs['input_ids'].shape[1] :], skip_special_tokens=True)
