"""What training minimizes: losses of coarse masks, refined masks and existence, averaged over the phrases of a batch.

In a distributed run sums are divided by the mean number of phrases of a process: gradients, which are averaged over
processes, then weigh each phrase of the whole batch alike, however images are spread.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from flmm.geometry import area_coverage, image_cells, whole_cells
from flmm.structures import GroundingSample


def check_truth(samples: Sequence[GroundingSample], *, existence: bool) -> None:
    """Refuse samples that no loss can be made of.

    Args:
        samples: The samples of a batch.
        existence: whether the model learns from phrases without a target.

    Raises:
        ValueError: a sample without truth, or a phrase without a target that nothing learns from.
    """
    for sample in samples:
        if sample.gt_masks is None:
            raise ValueError(f'image {sample.image_path!r} has no truth masks; there is no loss without them')
        if not existence and not bool(sample.has_target.all()):
            absent = sample.phrases[int(sample.has_target.int().argmin())]
            raise ValueError(
                f'phrase {absent!r} of image {sample.image_path!r} has no target, and the model learns from none: '
                "give it existence=dict(type='ExistenceHead'), or leave such phrases out"
            )


def mask_losses(
    grounded: Sequence[GroundingSample],
    *,
    loss_mask: nn.Module,
    loss_dice: nn.Module,
    padding_cut: str,
) -> dict[str, Tensor]:
    """Compare coarse masks with the truth on the mask head's grid, refined ones in the image frame.

    Masks of phrases without a target take no part: that they are empty is what the existence head says.
    Where the LMM reads padding around the image, the coarse loss leaves it out, as F-LMM does.

    Args:
        grounded: samples with truth, ``coarse`` and ``refined``.
        loss_mask: The loss of each pixel.
        loss_dice: The loss of the region.
        padding_cut: 'exact' or 'whole_cells', see :class:`flmm.models.GroundingModel`.

    Returns:
        'loss_mask' and 'loss_dice' of coarse masks, 'sam_loss_mask' and 'sam_loss_dice' of refined ones.
    """
    present = [sample.has_target for sample in grounded]
    num_masks = torch.cat(present).sum().to(grounded[0].coarse.small.device, torch.float32)
    all_reduce(num_masks, op='mean')
    num_masks = num_masks.clamp(min=1e-6)  # 0 only where there is no mask at all, and no loss of one

    def means(logits: list[Tensor], targets: list[Tensor]) -> tuple[Tensor, Tensor]:
        pairs = [(x[there], y[there]) for x, y, there in zip(logits, targets, present, strict=True) if there.any()]
        if not pairs:
            nothing = sum(x.sum() for x in logits) * 0  # a sum that still reaches every parameter
            return nothing, nothing
        mask = sum(loss_mask(x.flatten(1), y.flatten(1)) * len(x) for x, y in pairs) / num_masks
        dice = sum(loss_dice(x.flatten(1), y.flatten(1)) * len(x) for x, y in pairs) / num_masks
        return mask, dice

    inside, coarse_targets = [], []
    for sample in grounded:
        logits = sample.coarse.small  # [M, h, w] on the mask head's grid
        if padding_cut == 'exact':
            rows, columns = image_cells(sample.meta_data, logits.shape[-2:])
            coarse_targets.append(area_coverage(sample.masks, logits.shape[-2:])[:, rows, columns])
            inside.append(logits[:, rows, columns])
        else:  # what is cut out is laid over the image, so the image is laid over it
            rows, columns = whole_cells(sample.meta_data, logits.shape[-2:])
            inside.append(logits[:, rows, columns])
            coarse_targets.append(area_coverage(sample.gt_masks, inside[-1].shape[-2:]))
    coarse_mask, coarse_dice = means(inside, coarse_targets)
    refined_mask, refined_dice = means(
        [sample.sam_pred_masks for sample in grounded], [sample.gt_masks.float() for sample in grounded]
    )
    return {
        'loss_mask': coarse_mask,
        'loss_dice': coarse_dice,
        'sam_loss_mask': refined_mask,
        'sam_loss_dice': refined_dice,
    }


def existence_loss(samples: Sequence[GroundingSample], logits: Sequence[Tensor]) -> Tensor:
    """Average the binary cross-entropy between existence and truth over all phrases.

    Args:
        samples: with truth.
        logits: [M] for each sample.
    """
    num_phrases = torch.tensor(float(sum(sample.num_masks for sample in samples)), device=logits[0].device)
    all_reduce(num_phrases, op='mean')
    truth = torch.cat([sample.has_target for sample in samples]).float()
    return F.binary_cross_entropy_with_logits(torch.cat(list(logits)), truth, reduction='sum') / num_phrases
