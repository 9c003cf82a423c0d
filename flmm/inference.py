"""Masks for phrases of any image, with a trained model."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from torch import Tensor

from flmm.config import mappings_in, read_config
from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.features import cached_features_in
from flmm.images import read_rgb
from flmm.models import FrozenLMM, LMMWithoutWeights
from flmm.models.build import build_model
from flmm.registry import TRANSFORMS, is_type
from flmm.structures import GroundingSample

LOADERS = ('val_dataloader', 'test_dataloader', 'train_dataloader')
"""Where a config's way from image and phrases to a sample is looked for, in this order."""


class PhraseGrounder:
    """A model and what turns an image and phrases into its input.

    In one sequence, phrases see those before them, and the mask of one behind many others is lost. So each phrase gets
    a sequence of its own, unless told otherwise, and its mask depends neither on the others nor on their order, beyond
    the last digits of what a batch rounds (``batch_size=1`` has none of that).

    Args:
        model: a trained model in evaluation mode, on the device to run on.
        to_sample: what makes samples in training, with ``concat=True``.
        group_size: so many phrases share a sequence, in the order given. The LMM reads the image once for each
            sequence. F-LMM puts all phrases of an image into one; more than the training images had were never learned.
        batch_size: at most so many sequences go through the LMM together.

    Raises:
        ValueError: a size that is no integer above 0, or ``to_sample`` with ``concat=False``.

    >>> ground = PhraseGrounder.from_config('configs/shapes/demo.py', checkpoint='work_dirs/demo/epoch_1.pth')
    >>> sample = ground('photo.jpg', ['the red triangle on the left', 'the star'])
    >>> masks = sample.refined_masks  # [2, height, width]
    """

    def __init__(self, *, model: FrozenLMM, to_sample: RefCOCO2PNG, group_size: int = 1, batch_size: int = 8) -> None:
        if not to_sample.concat:
            raise ValueError('to_sample has concat=False; phrases are split by group_size here, so set it to True')
        for name, value in (('group_size', group_size), ('batch_size', batch_size)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'{name} is {value!r}, expected an integer above 0')
        self.model = model
        self.to_sample = to_sample
        self.group_size = group_size
        self.batch_size = batch_size

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        *,
        checkpoint: str | Path | None,
        device: str = 'cpu',
        group_size: int = 1,
        batch_size: int = 8,
    ) -> 'PhraseGrounder':
        """Build the model of a config, and its processor from the pipeline of the first loader that has one.

        Relative paths of weights in the config are looked for in the working directory, then in the folders above it.

        Args:
            config: config file. Where it reads stored features, the model that has made them is built.
            checkpoint: the trained part, as tools/train.py writes it; None where nothing is trained.
            device: name of a torch device, such as 'cuda:0'.
            group_size: how many phrases share a sequence; the class says more.
            batch_size: how many sequences go through the LMM together.

        Raises:
            ValueError: no checkpoint for a model that is trained; no loader of the config makes samples by RefCOCO2PNG,
                or none names the LMM that made the features; or a file is absent or does not fit.
        """
        settings = read_config(config)
        loaders = [settings.get(name) for name in LOADERS]
        if is_type(settings.model.lmm, LMMWithoutWeights):
            stored = next(cached_features_in(loaders), None)
            if stored is None:
                raise ValueError(
                    f'{str(config)!r} has an LMM without weights, and no CachedFeatures in {", ".join(LOADERS)} that '
                    'names the model with weights; set model.lmm to that one'
                )
            settings.model.lmm = stored['model']['lmm']
        pipelines = (mapping for mapping in mappings_in(loaders) if is_type(mapping, RefCOCO2PNG))
        to_sample = next(pipelines, None)
        if to_sample is None:
            raise ValueError(f'{str(config)!r} has no RefCOCO2PNG in {", ".join(LOADERS)}; add it to a pipeline of one')
        with DefaultScope.overwrite_default_scope(settings.get('default_scope')):
            to_sample = TRANSFORMS.build({**to_sample, 'concat': True})
        model = build_model(settings, checkpoint=checkpoint)
        if checkpoint is None and model.is_trained:
            raise ValueError(f'checkpoint is None, and {str(config)!r} has a part to train; give its checkpoint')
        return cls(model=model.to(device).eval(), to_sample=to_sample, group_size=group_size, batch_size=batch_size)

    @torch.no_grad()
    def __call__(
        self, image: str | os.PathLike | Image.Image | np.ndarray | Tensor, phrases: Iterable[str]
    ) -> GroundingSample:
        """Ground ``phrases`` in ``image``.

        Args:
            image: a file, which is turned upright as its EXIF orientation says; or pixels, which are taken as they lie:
                a PIL image, a uint8 array [IH, IW] or [IH, IW, 3] (RGB), or a uint8 tensor [3, IH, IW] (RGB).
            phrases: what to find, any number of strings.

        Returns:
            The sample with ``coarse_masks`` and ``refined_masks``, bool [M, IH, IW], and the logits of both,
            ``pred_masks`` and ``sam_pred_masks``; ``mask_attentions`` and ``text_embeds``; and, from a model that
            judges it, ``existence`` and ``exists``: whether each phrase is there at all. Its truth (``masks``,
            ``gt_masks``) is None. Its ``input_ids`` hold all phrases one after the other, however they were grouped.

        Raises:
            ValueError: an image or a phrase of another kind, a phrase without letters or digits, or an image that the
                processor refuses.
        """
        path, picture = _read_image(image)
        if isinstance(phrases, str):
            raise ValueError(f'image {path!r} has the string {phrases!r} for phrases; give a list of strings')
        if not isinstance(phrases, Iterable):
            raise ValueError(f'image {path!r} has {phrases!r} for phrases; give a list of strings')
        phrases = list(phrases)
        if not phrases:
            raise ValueError(f'image {path!r} has no phrase; give a list of strings')
        samples = self.to_sample.samples_of(unlabelled_item(picture, phrases, path=path), group_size=self.group_size)
        device = next(self.model.sam.parameters()).device
        # The same for all samples, so the tensors lie there once.
        lmm_inputs = {name: tensor.to(device) for name, tensor in samples[0].lmm_inputs.items()}
        grounded = []
        for start in range(0, len(samples), self.batch_size):
            batch = samples[start : start + self.batch_size]
            batch = [sample.with_outputs(lmm_inputs=lmm_inputs).to(device) for sample in batch]
            grounded += self.model(batch, mode='predict')
        return grounded[0] if len(grounded) == 1 else _joined(grounded)


def _read_image(image: str | os.PathLike | Image.Image | np.ndarray | Tensor) -> tuple[str, Image.Image]:
    """Return a name for messages, and the image, which :func:`unlabelled_item` makes RGB."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image), read_rgb(image, name=os.fspath(image), orientation='apply')
    if isinstance(image, Image.Image):
        return 'image', image
    pixels = image
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8:
            raise ValueError(f'image is a {image.dtype} tensor {tuple(image.shape)}, expected uint8 [3, height, width]')
        pixels = image.permute(1, 2, 0).cpu().numpy()
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f'image is a {type(image).__name__}, expected a path, PIL image, uint8 array or uint8 tensor')
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(
            f'image is a {pixels.dtype} array {pixels.shape}, expected uint8 [height, width] or [height, width, 3]'
        )
    return 'image', Image.fromarray(np.ascontiguousarray(pixels))


def _joined(samples: list[GroundingSample]) -> GroundingSample:
    """Put the phrases of several samples of one image into one sample, as if they stood in one sequence."""
    first = samples[0]
    prompt_length = int((first.mask_ids >= 0).nonzero()[0])
    input_ids, mask_ids, num_masks = [first.input_ids[:prompt_length]], [first.mask_ids[:prompt_length]], 0
    for sample in samples:
        own = sample.mask_ids[prompt_length:]
        input_ids.append(sample.input_ids[prompt_length:])
        mask_ids.append(torch.where(own >= 0, own + num_masks, own))
        num_masks += sample.num_masks
    return replace(
        first,
        input_ids=torch.cat(input_ids),
        mask_ids=torch.cat(mask_ids),
        phrases=[phrase for sample in samples for phrase in sample.phrases],
        phrase_infos=[info for sample in samples for info in sample.phrase_infos],
        text_embeds=None
        if first.text_embeds is None
        else [embeds for sample in samples for embeds in sample.text_embeds],
        **{
            name: torch.cat([getattr(sample, name) for sample in samples])
            for name in ('mask_attentions', 'pred_masks', 'sam_pred_masks', 'existence', 'exists')
            if getattr(first, name) is not None
        },
    )
