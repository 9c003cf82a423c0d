"""SAM's models (Kirillov et al., "Segment Anything", 2023), from segment_anything's own classes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from flmm.models.checkpoints import read_checkpoint
from flmm.models.key_problems import key_problems
from flmm.models.sam.attention import use_sdpa
from flmm.models.sam.segment_anything_sam import SegmentAnythingSam
from flmm.registry import MODELS


def load_weights(module: nn.Module, checkpoint: str | Path) -> None:
    """Load a state dict of exactly this module.

    Args:
        module: what to fill.
        checkpoint: path of a ``.safetensors`` file, or of what ``torch.save(module.state_dict())`` wrote; ``~`` is the
            home folder. No code of the file runs (:func:`flmm.models.checkpoints.read_checkpoint`).

    Raises:
        ValueError: no such file, a damaged one, one that holds more than weights, or its keys or shapes are not those
            of ``module``.
    """
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise ValueError(f'checkpoint {path} does not exist; download it, or pass checkpoint=None for random weights')
    state_dict = read_checkpoint(path)['state_dict']
    problems = key_problems(module.state_dict(), state_dict)
    if problems:
        raise ValueError(f'checkpoint {path} does not fit {type(module).__name__}: {problems}')
    module.load_state_dict(state_dict)


@MODELS.register_module()
def build_sam(*, model_type: str = 'vit_l', checkpoint: str | Path | None = None) -> SegmentAnythingSam:
    """Build a published SAM: L = 1024, C = 256, e = 64.

    Args:
        model_type: ``'vit_b'``, ``'vit_l'`` (F-LMM's choice) or ``'vit_h'``.
        checkpoint: e.g. ``sam_vit_l_0b3195.pth``; None leaves the weights random.

    Raises:
        ValueError: unknown ``model_type``, or a checkpoint that is absent or of another model.
    """
    if model_type not in sam_model_registry:
        raise ValueError(f'model_type {model_type!r} is unknown; use one of {sorted(sam_model_registry)}')
    return _ready(sam_model_registry[model_type](), checkpoint)


@MODELS.register_module()
def build_small_sam(
    *,
    image_size: int = 256,
    patch_size: int = 16,
    encoder_embed_dim: int = 96,
    encoder_depth: int = 3,
    encoder_num_heads: int = 4,
    encoder_global_attn_indexes: Sequence[int] = (2,),
    window_size: int = 8,
    prompt_embed_dim: int = 64,
    decoder_depth: int = 2,
    decoder_num_heads: int = 4,
    decoder_mlp_dim: int = 256,
    checkpoint: str | Path | None = None,
) -> SegmentAnythingSam:
    """Build a SAM small enough for a CPU, from segment_anything's own parts; for tests and the demo.

    Args:
        image_size: L, the side of the square input; a multiple of ``patch_size``.
        patch_size: px per cell of the image embedding; e = image_size / patch_size.
        encoder_embed_dim: width of the image encoder.
        encoder_depth: its number of blocks.
        encoder_num_heads: its number of heads.
        encoder_global_attn_indexes: its blocks that attend to the whole image; the others attend within windows.
        window_size: side of a window in patches.
        prompt_embed_dim: C, width of image embedding, prompts and mask decoder.
        decoder_depth: layers of the mask decoder's two-way transformer.
        decoder_num_heads: its number of heads.
        decoder_mlp_dim: hidden width of its MLPs.
        checkpoint: state dict of the whole model (``.safetensors``). None leaves what the classes start with: random
            weights from torch's global generator, and zeros for the absolute and relative positions.

    Raises:
        ValueError: ``image_size`` is no multiple of ``patch_size``, or a checkpoint is absent or does not fit.
    """
    if image_size % patch_size:
        raise ValueError(f'image_size {image_size} must be a multiple of patch_size {patch_size}')
    embedding_size = image_size // patch_size
    small = Sam(
        image_encoder=ImageEncoderViT(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=encoder_embed_dim,
            depth=encoder_depth,
            num_heads=encoder_num_heads,
            out_chans=prompt_embed_dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=window_size,
            global_attn_indexes=tuple(encoder_global_attn_indexes),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=prompt_embed_dim,
            image_embedding_size=(embedding_size, embedding_size),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=decoder_depth,
                embedding_dim=prompt_embed_dim,
                num_heads=decoder_num_heads,
                mlp_dim=decoder_mlp_dim,
            ),
            iou_head_hidden_dim=prompt_embed_dim,
        ),
    )
    return _ready(small, checkpoint)


def _ready(sam: Sam, checkpoint: str | Path | None) -> SegmentAnythingSam:
    if checkpoint is not None:
        load_weights(sam, checkpoint)
    use_sdpa(sam.image_encoder)
    made = SegmentAnythingSam(
        image_encoder=sam.image_encoder, prompt_encoder=sam.prompt_encoder, mask_decoder=sam.mask_decoder
    )
    return made.eval()
