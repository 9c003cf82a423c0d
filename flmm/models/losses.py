"""What training minimizes: losses of masks, SAM's scores and existence, averaged over the phrases of a batch.

In a distributed run sums are divided by the mean number of phrases of a process: gradients, which are averaged over
processes, then weigh each phrase of the whole batch alike, however images are spread.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from flmm.clip_sample import ClipSample
from flmm.geometry import area_coverage, image_cells, whole_cells
from flmm.structures import GroundingSample


def check_truth(samples: Sequence[GroundingSample | ClipSample], *, existence: bool) -> None:
    """Refuse samples that no loss can be made of.

    Args:
        samples: The samples of a batch, of images or of clips.
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
    loss_iou: nn.Module | None,
    padding_cut: str,
) -> dict[str, Tensor]:
    """Compare coarse masks with the truth on the mask head's grid, refined ones and their scores in the image frame.

    Masks of phrases without a target take no part: that they are empty is what the existence head says.
    Where the LMM reads padding around the image, the coarse loss leaves it out, as F-LMM does.

    Args:
        grounded: samples with truth, ``coarse``, ``refined`` and ``sam_scores``.
        loss_mask: The loss of each pixel.
        loss_dice: The loss of the region.
        loss_iou: The loss of the IoU that SAM expects of a refined mask; None leaves it untrained.
        padding_cut: 'exact' or 'whole_cells', see :class:`flmm.models.GroundingModel`.

    Returns:
        'loss_mask' and 'loss_dice' of coarse masks, 'sam_loss_mask' and 'sam_loss_dice' of refined ones, and with
        ``loss_iou`` 'sam_loss_iou'.
    """
    present = [sample.has_target for sample in grounded]
    num_masks = torch.cat(present).sum().to(grounded[0].coarse.small.device, torch.float32)
    all_reduce(num_masks, op='mean')
    num_masks = num_masks.clamp(min=1e-6)  # 0 only where there is no mask at all, and no loss of one

    def means(predictions: list[Tensor], targets: list[Tensor], *losses: nn.Module) -> list[Tensor]:
        pairs = [
            (x[there].flatten(1), y[there].flatten(1))
            for x, y, there in zip(predictions, targets, present, strict=True)
            if there.any()
        ]
        if not pairs:
            return [sum(x.sum() for x in predictions) * 0] * len(losses)  # a sum that still reaches every parameter
        return [sum(loss(x, y) * len(x) for x, y in pairs) / num_masks for loss in losses]

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
    refined, truth = [sample.sam_pred_masks for sample in grounded], [sample.gt_masks for sample in grounded]
    coarse_mask, coarse_dice = means(inside, coarse_targets, loss_mask, loss_dice)
    refined_mask, refined_dice = means(refined, [masks.float() for masks in truth], loss_mask, loss_dice)
    losses = {
        'loss_mask': coarse_mask,
        'loss_dice': coarse_dice,
        'sam_loss_mask': refined_mask,
        'sam_loss_dice': refined_dice,
    }
    if loss_iou is not None:
        scores = [sample.sam_scores[:, None] for sample in grounded]  # [M, 1]
        ious = [_ious(logits > 0, masks)[:, None] for logits, masks in zip(refined, truth, strict=True)]
        (losses['sam_loss_iou'],) = means(scores, ious, loss_iou)
    return losses


def _ious(masks: Tensor, truth: Tensor) -> Tensor:
    """[M, IH, IW] bool each -> [M] float32 in 0..1; 0 where both are empty."""
    both = (masks & truth).sum(dim=(1, 2))
    return both / (masks | truth).sum(dim=(1, 2)).clamp(min=1)


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


def empty_loss(parameters: Iterable[nn.Parameter], *, num_averages: int) -> dict[str, Tensor]:
    """Return the loss of a batch without samples: 0, with a gradient of 0 for every parameter.

    Other processes may have samples, and wait for this one.

    Args:
        parameters: those of the model; the frozen ones take no part.
        num_averages: how many of :func:`mask_losses` and :func:`existence_loss` the other processes call.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for _ in range(num_averages):
        all_reduce(torch.zeros((), device=trained[0].device), op='mean')
    return {'loss_empty': sum((parameter * 0).sum() for parameter in trained)}
