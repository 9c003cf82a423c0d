"""The small SAM of the demo: trained to cut out shapes from boxes and from coarse masks.

Letters: M shapes of one image, (IH, IW) its size, L the side of SAM's square input, g the side of its mask prompt.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from flmm.atomic_write import write_json
from flmm.geometry import masks_to_boxes
from flmm.models.sam import SegmentAnythingSam, build_small_sam
from flmm.shapes import DIFFICULTY, SceneConfig, render_scene, sample_scene
from flmm.shapes.expressions import referable_shapes

ARCHITECTURE = {
    'image_size': 256,
    'patch_size': 16,
    'encoder_embed_dim': 64,
    'encoder_depth': 3,
    'encoder_num_heads': 4,
    'encoder_global_attn_indexes': [1, 2],
    'window_size': 8,
    'prompt_embed_dim': 64,
    'decoder_depth': 2,
    'decoder_num_heads': 4,
    'decoder_mlp_dim': 128,
}
PROMPTS = ('box', 'mask', 'mask and its box', 'mask and box')


def coarse_logits(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Imitate what a mask head makes of attention: a blurred, displaced, uneven mask, with traces of other shapes.

    Args:
        masks: [M, IH, IW] bool, disjoint.
        rng: decides the errors.

    Returns:
        [M, IH, IW] float32 logits.
    """
    height, width = masks.shape[1:]
    logits = np.empty(masks.shape, dtype=np.float32)
    for index, mask in enumerate(masks):
        cell = rng.uniform(8, 32)
        grid = (max(round(width / cell), 4), max(round(height / cell), 4))
        share = cv2.resize(mask.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
        if len(masks) > 1 and rng.random() < 0.4:
            other = masks[rng.choice([i for i in range(len(masks)) if i != index])]
            share += rng.uniform(0.1, 0.6) * cv2.resize(other.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
        share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.3, 1.0))
        share += rng.uniform(0, 0.15) * rng.standard_normal(share.shape, dtype=np.float32)
        rough = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        shift = np.float32([[1, 0, rng.normal(0, 0.15 * cell)], [0, 1, rng.normal(0, 0.15 * cell)]])
        rough = cv2.warpAffine(rough, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        logits[index] = rng.uniform(4, 14) * (rough - rng.uniform(0.3, 0.6))
    return logits


def jitter_boxes(boxes: Tensor, amount: float, rng: np.random.Generator) -> Tensor:
    """Move each edge of XYXY boxes [M, 4] by a normal deviate of ``amount`` times the box's side."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + amount * sides * torch.from_numpy(rng.standard_normal(boxes.shape)).float()


class PromptedScenes(IterableDataset):
    """Endless images with the masks of their shapes and the coarse logits that imitate a mask head.

    Yields dicts: image [3, IH, IW] uint8, masks [M, IH, IW] bool, coarse [M, IH, IW] float32, seed int.
    """

    def __init__(self, config: SceneConfig, *, seed: int) -> None:
        self.config, self.seed = config, seed

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Draw scenes one by one; workers take turns."""
        cv2.setNumThreads(0)
        worker = get_worker_info()
        index, step = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        while True:
            rng = np.random.default_rng([self.seed, index])
            scene = sample_scene(rng, self.config)
            image, masks = render_scene(scene, rng)
            masks = masks[referable_shapes(scene, masks)]
            if len(masks):
                yield {
                    'image': torch.from_numpy(image).permute(2, 0, 1),
                    'masks': torch.from_numpy(masks),
                    'coarse': torch.from_numpy(coarse_logits(masks, rng)),
                    'seed': index,
                }
            index += step


def embed_image(sam: SegmentAnythingSam, image: Tensor) -> Tensor:
    """[3, IH, IW] uint8 -> [1, 3, L, L], resized and normalized as SAM's encoder takes it."""
    size = sam.frame.content_size(image.shape[1:])
    array = cv2.resize(image.permute(1, 2, 0).numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
    return sam.preprocess(torch.from_numpy(array).permute(2, 0, 1).float())[None]


def predict(
    sam: SegmentAnythingSam,
    embedding: Tensor,
    image_size: tuple[int, int],
    *,
    boxes: Tensor | None,
    coarse: Tensor | None,
) -> Tensor:
    """Masks of one image from boxes [M, 4] (image frame) and coarse logits [M, IH, IW]: [M, g, g] logits, SAM frame."""
    encoder = sam.prompt_encoder
    sparse, dense = encoder(
        points=None,
        boxes=None if boxes is None else sam.frame.boxes_from_image(boxes, image_size),
        masks=None if coarse is None else sam.frame.logits_from_image(coarse, encoder.mask_input_size)[:, None],
    )
    count = len(boxes if boxes is not None else coarse)
    low_res, _ = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse.expand(count, -1, -1),
        dense_prompt_embeddings=dense.expand(count, -1, -1, -1),
        multimask_output=False,
    )
    return low_res[:, 0]


def train_sam(
    *, steps: int, seed: int, images_per_step: int = 4, lr: float = 1e-3, workers: int = 1
) -> SegmentAnythingSam:
    """Train a new small SAM on medium scenes and, one time in four, hard ones; the kind of prompt is drawn by lot.

    The loss is binary cross entropy plus dice on the logits at half of SAM's resolution.
    """
    torch.manual_seed(seed)
    sam = build_small_sam(**ARCHITECTURE).train()
    medium, hard = (
        iter(DataLoader(PromptedScenes(DIFFICULTY[name], seed=seed), batch_size=None, num_workers=workers))
        for name in ('medium', 'hard')
    )
    optimizer = torch.optim.AdamW(sam.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate(step, steps))
    rng = np.random.default_rng(seed)
    losses = []
    for step in range(1, steps + 1):
        items = [next(hard if i % 4 == 3 else medium) for i in range(images_per_step)]
        embeddings = sam.image_encoder(torch.cat([embed_image(sam, item['image']) for item in items]))
        loss = sum(_image_loss(sam, e[None], item, rng) for e, item in zip(embeddings, items, strict=True)) / len(items)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0:
            print(f'sam {step}/{steps}: loss {np.mean(losses[-100:]):.4f}', flush=True)
    return sam.eval()


def _learning_rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def _image_loss(
    sam: SegmentAnythingSam, embedding: Tensor, item: dict[str, Tensor], rng: np.random.Generator
) -> Tensor:
    masks, coarse = item['masks'], item['coarse']
    prompt = PROMPTS[rng.choice(len(PROMPTS), p=(0.3, 0.1, 0.4, 0.2))]
    tight = masks_to_boxes(coarse > 0 if prompt == 'mask and its box' else masks)
    boxes = None if prompt == 'mask' else jitter_boxes(tight, rng.uniform(0, 0.15), rng)
    logits = predict(sam, embedding, tuple(masks.shape[1:]), boxes=boxes, coarse=None if prompt == 'box' else coarse)
    side = sam.frame.side // 2
    target = (sam.frame.logits_from_image(masks.float() * 2 - 1, (side, side)) + 1) / 2
    logits = F.interpolate(logits[:, None], size=(side, side), mode='bilinear', align_corners=False)[:, 0]
    share = logits.sigmoid()
    overlap = 2 * (share * target).sum((1, 2)) + 1
    dice = 1 - overlap / (share.sum((1, 2)) + target.sum((1, 2)) + 1)
    # Shapes are small: without the factor, cross entropy would be all about the background.
    return (4 * F.binary_cross_entropy_with_logits(logits, target, reduction='none').mean((1, 2)) + dice).mean()


@torch.no_grad()
def evaluate_sam(sam: SegmentAnythingSam, *, config: SceneConfig, seed: int, num_scenes: int) -> dict[str, float]:
    """Mean IoU in percent, at image size, by prompt; boxes are jittered by 10 % of their sides.

    'coarse' is the IoU of the imitated coarse masks that prompt the others.
    """
    scores: dict[str, list[float]] = {}
    rng = np.random.default_rng(seed)
    for item, _ in zip(PromptedScenes(config, seed=seed), range(num_scenes), strict=False):
        masks, coarse = item['masks'], item['coarse']
        size = tuple(masks.shape[1:])
        embedding = sam.image_encoder(embed_image(sam, item['image']))
        boxes = masks_to_boxes(masks)
        coarse_boxes = masks_to_boxes(coarse > 0)
        prompts = {
            'true box': (boxes, None),
            'jittered box': (jitter_boxes(boxes, 0.1, rng), None),
            'coarse mask': (None, coarse),
            'coarse mask and its box': (coarse_boxes, coarse),
        }
        content = sam.frame.content_size(size)
        for name, (prompt_boxes, prompt_masks) in prompts.items():
            low_res = predict(sam, embedding, size, boxes=prompt_boxes, coarse=prompt_masks)
            refined = sam.postprocess_masks(low_res[:, None], content, size)[:, 0]
            scores.setdefault(name, []).extend(_iou(refined > 0, masks))
        scores.setdefault('coarse', []).extend(_iou(coarse > 0, masks))
    return {name: 100 * float(np.mean(values)) for name, values in scores.items()}


def _iou(predicted: Tensor, truth: Tensor) -> list[float]:
    overlap = (predicted & truth).sum((1, 2)).float()
    return (overlap / (predicted | truth).sum((1, 2))).tolist()


def save_sam(sam: SegmentAnythingSam, folder: Path) -> None:
    """Write model.safetensors (half precision) and config.json, the arguments of ``build_small_sam``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in sam.state_dict().items()}
    save_file(state, folder / 'model.safetensors', metadata={'format': 'pt'})
    write_json(folder / 'config.json', ARCHITECTURE, indent=2)
