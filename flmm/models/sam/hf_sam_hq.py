"""SAM-HQ (Ke et al., "Segment Anything in High Quality", 2023) through transformers."""

from torch import Tensor, nn
from transformers import SamHQModel, SamImageProcessor

from flmm.models.sam.frame import SamFrame
from flmm.models.sam.hf_sam import HfSam


class HfSamHQ(HfSam):
    """SAM whose decoder has an output token more and reads an early layer of the image encoder, too.

    The embedding is 'image' [C, e, e] and 'early' [D, e, e], what the first block with attention to the whole image
    gives, D being the width of the image encoder. A mask is the sum of SAM's logits and those of the new token.

    Args:
        model: transformers' model, whose parts are taken over. The frequencies of positions, a parameter in
            transformers, stay as they are: they are no weights of SAM.

    >>> sam = HfSamHQ(model=SamHQModel.from_pretrained('syscv-community/sam-hq-vit-large'))
    >>> sam.embedding_shapes
    {'image': (256, 64, 64), 'early': (1024, 64, 64)}
    """

    def __init__(self, *, model: SamHQModel) -> None:
        super().__init__()
        self.image_encoder = model.vision_encoder
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.prompt_encoder.shared_embedding.requires_grad_(requires_grad=False)
        config = model.config.prompt_encoder_config
        self.text_dim = config.hidden_size
        self.frame = SamFrame(side=config.image_size)
        self.image_processor = SamImageProcessor(
            size={'longest_edge': config.image_size},
            pad_size={'height': config.image_size, 'width': config.image_size},
        )
        grid = self.prompt_encoder.image_embedding_size
        self.embedding_shapes = {
            'image': (self.text_dim, *grid),
            'early': (model.config.vision_config.hidden_size, *grid),
        }

    def unreached_prompts(self, *, boxes: bool) -> list[nn.Module]:
        """See :meth:`SamBackend.unreached_prompts`."""
        kinds = self.prompt_encoder.point_embed  # not this object, this object, a box's first corner, its second
        return [self.prompt_encoder.not_a_point_embed, *(kinds[:2] if boxes else kinds)]

    @property
    def positions(self) -> nn.Module:
        """The positions of prompts, which are those of the image, too."""
        return self.prompt_encoder.shared_embedding

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """See :meth:`SamBackend.encode`."""
        output = self.image_encoder(pixels)
        early = output.intermediate_embeddings[0].permute(0, 3, 1, 2)  # [B, D, e, e]
        return {'image': output.last_hidden_state, 'early': early}

    def _beside_image(self, embedding: dict[str, Tensor]) -> dict:
        early = embedding['early'].permute(0, 2, 3, 1)  # [M, e, e, D]
        return {'intermediate_embeddings': [early], 'hq_token_only': False}
