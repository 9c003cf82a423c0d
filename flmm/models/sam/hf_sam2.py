"""SAM 2.1 (Ravi et al., "SAM 2", 2024) and EdgeTAM (Zhou et al., 2025) through transformers, for single images."""

from torch import Tensor, nn
from transformers import EdgeTamModel, Sam2ImageProcessor, Sam2Model

from flmm.models.sam.frame import SamFrame
from flmm.models.sam.hf_sam import HfSam


class Sam2ImageEncoder(nn.Module):
    """Backbone and neck of a SAM 2, and all else that an image goes through once, whatever is asked of it.

    That is the projection of the two finer maps, which published models have in the mask decoder, and the embedding
    that stands for 'no frame before this one'. In F-LMM an image's embedding comes from frozen parts alone, so that it
    may be stored: hence they are frozen, too.

    Args:
        model: the model that the parts are taken of; its mask decoder is left without the projections.
    """

    def __init__(self, model: Sam2Model | EdgeTamModel) -> None:
        super().__init__()
        self.vision_encoder = model.vision_encoder
        self.conv_s0 = model.mask_decoder.conv_s0
        self.conv_s1 = model.mask_decoder.conv_s1
        self.no_memory_embedding = model.no_memory_embedding
        del model.mask_decoder.conv_s0, model.mask_decoder.conv_s1

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """[B, 3, L, L] -> 'image' [B, C, e, e], 'stride_8' [B, C / 4, 2e, 2e], 'stride_4' [B, C / 8, 4e, 4e]."""
        finest, finer, coarse = self.vision_encoder(pixels).fpn_hidden_states
        return {
            'image': coarse + self.no_memory_embedding.reshape(1, -1, 1, 1),
            'stride_8': self.conv_s1(finer),
            'stride_4': self.conv_s0(finest),
        }


class HfSam2(HfSam):
    """SAM 2.1 or EdgeTAM. They share a decoder, which reads two finer maps of the image, and squash the image.

    In eval mode published models give one of the three other candidates for a mask whose logits are close to 0
    (``dynamic_multimask_via_stability``). That is off: F-LMM trains the first mask alone, so the others would be
    untrained, and an evaluation would score what the training never saw.

    Args:
        model: transformers' model, whose parts are taken over.

    >>> sam = HfSam2(model=Sam2Model.from_pretrained('facebook/sam2.1-hiera-large'))
    >>> sam.embedding_shapes
    {'image': (256, 64, 64), 'stride_8': (64, 128, 128), 'stride_4': (32, 256, 256)}
    """

    def __init__(self, *, model: Sam2Model | EdgeTamModel) -> None:
        super().__init__()
        self.image_encoder = Sam2ImageEncoder(model)
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.mask_decoder.dynamic_multimask_via_stability = False
        self.positions = model.shared_image_embedding
        config = model.config.prompt_encoder_config
        self.text_dim = config.hidden_size
        self.frame = SamFrame(side=config.image_size, squashed=True)
        self.image_processor = Sam2ImageProcessor(size={'height': config.image_size, 'width': config.image_size})
        height, width = self.prompt_encoder.image_embedding_size
        self.embedding_shapes = {
            'image': (self.text_dim, height, width),
            'stride_8': (self.text_dim // 4, 2 * height, 2 * width),
            'stride_4': (self.text_dim // 8, 4 * height, 4 * width),
        }

    def freeze_unreached(self, *, boxes: bool, masks: bool, multimask_output: bool) -> None:
        """See :meth:`SamBackend.freeze_unreached`."""
        super().freeze_unreached(boxes=boxes, masks=masks, multimask_output=multimask_output)
        # Whether an object is seen in a frame of a video: no mask and no score depends on it.
        self.mask_decoder.pred_obj_score_head.requires_grad_(requires_grad=False)

    def unreached_prompts(self, *, boxes: bool) -> list[nn.Module]:
        """See :meth:`SamBackend.unreached_prompts`."""
        # Points and corners share a table, and each box is followed by an entry that says 'not a point'.
        return [] if boxes else [self.prompt_encoder.point_embed, self.prompt_encoder.not_a_point_embed]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """See :meth:`SamBackend.encode`."""
        return self.image_encoder(pixels)

    def _beside_image(self, embedding: dict[str, Tensor]) -> dict:
        return {'high_resolution_features': [embedding['stride_4'], embedding['stride_8']]}
