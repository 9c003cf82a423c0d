"""The reward by the frozen attention: what the phrases of an answer ground, by a trained F-LMM head without SAM."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from flmm.reinforce.answer import Answer
from flmm.reinforce.rewards import one_to_one
from flmm.reinforce.truth import Truth

if TYPE_CHECKING:
    from flmm.grounder import Grounder


class MaskIoU:
    """IoU of the coarse masks of the phrases that answers say with the true masks, matched one to one.

    The grounder's own LMM reads image and phrases, frozen, and its mask head makes the masks (F-LMM, CVPR 2025);
    nothing else of an answer is read, no box and no point. No part of SAM runs. An image is read once for all answers
    about it, and a phrase that several of them say once.

    Args:
        grounder: a trained one, which reads phrases independently.

    Raises:
        ValueError: a grounder that puts all phrases of an image into one sequence.
    """

    def __init__(self, grounder: 'Grounder') -> None:
        if not grounder.to_sample.independent:
            raise ValueError(
                'the grounder reads phrases in one sequence, where each depends on others; build it with '
                'independent=True'
            )
        self.grounder = grounder

    def __call__(
        self,
        answers: Sequence[Answer | None],
        truths: Sequence[Truth],
        images: Sequence[Image.Image],
        sources: Sequence[str],
    ) -> list[float]:
        """Score answers.

        Args:
            answers: None where one cannot be read, which has 0.
            truths: of each answer, with masks.
            images: of each answer, RGB.
            sources: what each answer is about: those of one source share image and truth.

        Returns:
            0 to 1 for each answer: the sum over the matched pairs of their IoU, over the larger number of objects; 1
            for no object where none is. An object without a phrase, or whose phrase cannot be read, fits nothing.
        """
        rewards = [0.0] * len(answers)
        for source in dict.fromkeys(sources):
            rows = [i for i, own in enumerate(sources) if own == source and answers[i] is not None]
            said = {each.phrase for i in rows for each in answers[i] if each.phrase is not None}
            ious = self._ious(images[sources.index(source)], truths[sources.index(source)], sorted(said))
            nothing = np.zeros(truths[sources.index(source)].count)
            for i in rows:
                scores = [ious.get(each.phrase, nothing) for each in answers[i]]
                rewards[i] = one_to_one(np.array(scores).reshape(len(scores), len(nothing)))
        return rewards

    def _ious(self, image: Image.Image, truth: Truth, phrases: list[str]) -> dict[str, np.ndarray]:
        """Return the IoU of each phrase that can be read with each true mask, [N]."""
        phrases = [phrase for phrase in phrases if self._can_be_read(phrase)]
        if not phrases or not truth.count:
            return {}
        masks = self.grounder.read(image, with_sam=False).coarse(phrases).masks().cpu().numpy()
        flat, true = masks.reshape(len(masks), -1), truth.masks.reshape(truth.count, -1)
        common = flat.astype(np.float64) @ true.T.astype(np.float64)  # [M, N]
        union = flat.sum(axis=1)[:, None] + true.sum(axis=1)[None] - common
        return dict(zip(phrases, common / union, strict=True))

    def _can_be_read(self, phrase: str) -> bool:
        try:
            self.grounder.to_sample.text_tokenizer.phrases([phrase], separated=False)
        except ValueError:  # it says nothing, or is too long: an LMM may write anything
            return False
        return True
