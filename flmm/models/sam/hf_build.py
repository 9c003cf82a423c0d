"""SAMs of transformers, by name."""

import os

from transformers import EdgeTamModel, Sam2Model, SamHQModel

from flmm.models.sam.hf_sam import HfSam
from flmm.models.sam.hf_sam2 import HfSam2
from flmm.models.sam.hf_sam_hq import HfSamHQ
from flmm.pretrained import load_sam
from flmm.registry import MODELS

BACKENDS = {SamHQModel: HfSamHQ, Sam2Model: HfSam2, EdgeTamModel: HfSam2}


@MODELS.register_module()
def build_hf_sam(*, name_or_path: str | os.PathLike) -> HfSam:
    """Build SAM-HQ, SAM 2.1 or EdgeTAM with its published weights, in float32.

    Args:
        name_or_path: a folder, or else a name on the hub, such as 'syscv-community/sam-hq-vit-large',
            'facebook/sam2.1-hiera-large' or 'yonigozlan/EdgeTAM-hf' (which needs timm). A checkpoint for video will do:
            what is for video alone is left out.

    Raises:
        ValueError: no such folder or name, a checkpoint that lacks weights, or a model of another kind.
    """
    model = load_sam(name_or_path)
    if type(model) not in BACKENDS:
        known = ', '.join(kind.__name__ for kind in BACKENDS)
        raise ValueError(
            f'{os.fspath(name_or_path)!r} holds a {type(model).__name__}, expected one of {known}; SAM itself is '
            'build_sam'
        )
    return BACKENDS[type(model)](model=model).eval()
