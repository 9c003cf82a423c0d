"""What SAMWrapper asks of a SAM, whoever publishes it.

Letters: B images, M masks, K candidates of a mask, T prompt tokens of a mask, (IH, IW) an image in px, L the side of
the SAM frame in px, C the prompt width, e the side of the image embedding; masks and mask prompts have 4e cells a side.
"""

import numpy as np
from torch import Tensor, nn

from flmm.models.sam.frame import SamFrame


class SamBackend(nn.Module):
    """An image encoder, a prompt encoder and a mask decoder, and how they are called.

    What is read of an image, its embedding, is a dict of tensors: 'image' [C, e, e], and under other names what the
    decoder needs beside it. It depends on ``image_encoder`` alone, which is frozen, so that it may be stored. Text
    comes between :meth:`prompts` and :meth:`decode`, as further tokens.

    Attributes:
        image_encoder: frozen by SAMWrapper; all weights that an embedding depends on lie in it.
        prompt_encoder: trained.
        mask_decoder: trained; its ``iou_prediction_head`` is what makes the scores.
        frame: how an image lies in the square that is read.
        text_dim: C.
        embedding_shapes: the shapes of an image's embedding, by name.
    """

    image_encoder: nn.Module
    prompt_encoder: nn.Module
    mask_decoder: nn.Module
    frame: SamFrame
    text_dim: int
    embedding_shapes: dict[str, tuple[int, ...]]

    def freeze_unreached(self, *, boxes: bool, masks: bool, multimask_output: bool) -> None:
        """Freeze the parts that no loss of masks reaches: DistributedDataParallel waits for each gradient.

        Whether the loss reaches ``iou_prediction_head``, only who has the losses knows.

        Args:
            boxes: whether masks are prompted by boxes.
            masks: whether they are prompted by masks.
            multimask_output: what :meth:`decode` is called with.
        """
        encoder, decoder = self.prompt_encoder, self.mask_decoder
        # Each candidate has a network of its own, and those of dropped candidates get a gradient of zeros, so that
        # weight decay alone would move them. The first one makes the single mask, the others the three candidates.
        networks = decoder.output_hypernetworks_mlps
        unreached = [*(networks[:1] if multimask_output else networks[1:]), *self.unreached_prompts(boxes=boxes)]
        # Where a mask is always given, what stands for none is never read, and the other way round.
        unreached.append(encoder.no_mask_embed if masks else self.mask_reader)
        for part in unreached:
            part.requires_grad_(requires_grad=False)

    @property
    def mask_reader(self) -> nn.Module:
        """The layers of the prompt encoder that a mask prompt goes through."""
        raise NotImplementedError

    def unreached_prompts(self, *, boxes: bool) -> list[nn.Module]:
        """Return the parts of the prompt encoder that are for points, which are never given, or for no box."""
        raise NotImplementedError

    def pixels(self, image: np.ndarray) -> Tensor:
        """Bring an image into the SAM frame and normalize it: uint8 RGB [IH, IW, 3] -> [3, L, L]."""
        raise NotImplementedError

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """Run the image encoder: [B, 3, L, L] -> the embeddings, each stacked to [B, ...]."""
        raise NotImplementedError

    def prompts(self, boxes: Tensor | None, masks: Tensor | None, *, num_masks: int) -> tuple[Tensor, Tensor]:
        """Encode the prompts of masks of any images.

        Args:
            boxes: [M, 4] XYXY in px of the SAM frame, or None.
            masks: [M, 1, 4e, 4e] logits, or None.
            num_masks: M.

        Returns:
            Sparse [M, T, C] (T is 0 without boxes) and dense [M, C, e, e] prompts.
        """
        raise NotImplementedError

    def decode(
        self, embedding: dict[str, Tensor], sparse: Tensor, dense: Tensor, *, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        """Decode masks of any images.

        Args:
            embedding: The embedding of each mask's image, by name, stacked to [M, ...].
            sparse: [M, T, C], those of :meth:`prompts` and any others, such as text.
            dense: [M, C, e, e], as :meth:`prompts` gives them.
            multimask_output: K = 3 candidates instead of the one that SAM means for clear prompts.

        Returns:
            Logits [M, K, 4e, 4e] and the IoU that SAM expects of each, [M, K].
        """
        raise NotImplementedError
