"""Masks for phrases of any image, with a trained model."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from PIL import Image

from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.models import FrozenLMM
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample


class PhraseGrounder:
    """A model and what turns an image and phrases into its input.

    Args:
        model: in evaluation mode, on the device to run on.
        to_sample: as in training, with ``concat=True``.
    """

    def __init__(self, *, model: FrozenLMM, to_sample: RefCOCO2PNG) -> None:
        if not to_sample.concat:
            raise ValueError('to_sample has concat=False; phrases of an image are grounded together, so set it to True')
        self.model = model
        self.to_sample = to_sample

    @classmethod
    def from_config(cls, config: str | Path, *, checkpoint: str | Path, device: str = 'cpu') -> 'PhraseGrounder':
        """Build the model of a config, and its processor from the last step of the validation pipeline.

        Args:
            config: config file.
            checkpoint: the trained part, as tools/train.py writes it.
            device: of torch.
        """
        settings = Config.fromfile(config)
        with DefaultScope.overwrite_default_scope(settings.default_scope):
            model = MODELS.build(settings.model)
            to_sample = TRANSFORMS.build(settings.val_dataloader.dataset.pipeline[-1])
        load_checkpoint(model, str(checkpoint), map_location='cpu')
        return cls(model=model.to(device).eval(), to_sample=to_sample)

    @torch.no_grad()
    def __call__(self, image: Image.Image, phrases: list[str]) -> GroundingSample:
        """Ground ``phrases`` in ``image``, all in one forward.

        Returns:
            The sample with ``pred_masks`` (coarse) and ``sam_pred_masks`` (refined): logits [M, IH, IW], above 0 is
            foreground; ``mask_attentions`` and ``text_embeds``. Its truth (``masks``, ``gt_masks``) is None.

        Raises:
            ValueError: no list of phrases, a phrase without tokens, or an image the processor refuses.
        """
        sample = self.to_sample.transform(unlabelled_item(image, phrases))
        (grounded,) = self.model([sample.to(self.model.text_layer_weights.device)], mode='predict')
        return grounded
