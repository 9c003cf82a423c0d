"""A trained model, and what turns images and phrases into its input."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from flmm.config import mappings_in, read_config
from flmm.datasets import RefCOCO2PNG
from flmm.device import check_device
from flmm.features import cached_features_in
from flmm.grounder.any_image import AnyImage
from flmm.grounder.grounding import Grounding
from flmm.grounder.many import Images, ground_many
from flmm.grounder.prepared_image import PreparedImage, prepare_image
from flmm.grounder.pretrained import PretrainedGrounder
from flmm.grounder.read_image import ReadImage
from flmm.grounder.read_video import ReadVideo, names_of_files
from flmm.grounder.stored_config import with_absolute_paths
from flmm.models import FrozenLMM, LMMWithoutWeights
from flmm.models.build import build_model, without_tracker
from flmm.registry import TRANSFORMS, is_type
from flmm.video import Clip, FrameSampling, VideoInput, read_clip

LOADERS = ('val_dataloader', 'test_dataloader', 'train_dataloader')
"""Where a config's way from image and phrases to a sample is looked for, in this order."""


class Grounder(PretrainedGrounder):
    """Finds phrases in images. An image is read once; phrases can then be asked for, now or later.

    Each phrase is read by itself behind the image, so its mask depends neither on the others nor on their order, beyond
    the last digits of what a batch rounds. In one sequence, as F-LMM puts them, a phrase behind many others is lost.

    Several threads may use one grounder, and several grounders one LMM.

    Args:
        model: a trained model, on the device to run on; it is put into evaluation mode.
        to_sample: what makes samples in training, with ``concat=True``. With ``independent=False`` all phrases of a
            call share a sequence, in the order given.
        config: what both were built from, ``{'model': ..., 'to_sample': ...}``; a grounder without it cannot be saved.

    Raises:
        ValueError: ``to_sample`` with ``concat=False``.

    >>> grounder = Grounder.from_config('configs/shapes/demo_no_target.py', checkpoint='assets/model.safetensors')
    >>> read = grounder.read('photo.jpg')
    >>> masks = read.ground(['the red triangle on the left', 'the star']).masks  # [2, height, width]
    """

    def __init__(self, *, model: FrozenLMM, to_sample: RefCOCO2PNG, config: Mapping[str, Any] | None = None) -> None:
        if not to_sample.concat:
            raise ValueError('to_sample has concat=False, which makes several samples of an image; set it to True')
        self.model = model.eval()
        self.to_sample = to_sample
        self.config = with_absolute_paths(config)

    @classmethod
    def from_config(
        cls,
        config: str | Path,
        *,
        checkpoint: str | Path | None,
        device: str = 'cpu',
        independent: bool = True,
    ) -> 'Grounder':
        """Build the model of a config, and its processor from the pipeline of the first loader that has one.

        Relative paths of weights in the config are looked for in the working directory, then in the folders above it.

        Args:
            config: config file. Where it reads stored features, the model that has made them is built.
            checkpoint: the trained part, as tools/train.py writes it; None where nothing is trained.
            device: name of a torch device, such as 'cuda:0'.
            independent: read each phrase by itself, whatever the config does in training; False puts all phrases of a
                call into one sequence.

        Raises:
            ValueError: no such device; no checkpoint for a model that is trained; no loader of the config makes samples
                by RefCOCO2PNG, or none names the LMM that made the features; or a file is absent or does not fit.
        """
        check_device(device)
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
        config_of_sample = {**to_sample, 'concat': True, 'independent': independent}
        with DefaultScope.overwrite_default_scope(settings.get('default_scope')):
            to_sample = TRANSFORMS.build(config_of_sample)
        settings.model = without_tracker(settings.model)  # a grounding is tracked by a tracker that is given to it
        model = build_model(settings, checkpoint=checkpoint)
        if checkpoint is None and model.is_trained:
            raise ValueError(f'checkpoint is None, and {str(config)!r} has a part to train; give its checkpoint')
        made_from = {'model': settings.model, 'to_sample': config_of_sample}
        return cls(model=model.to(device), to_sample=to_sample, config=made_from)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.sam.parameters()).device

    @property
    def ends_of_turn(self) -> set[int]:
        """The tokens that end an answer."""
        ends = self.model.lmm.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        tokenizer = self.to_sample.image_processor.tokenizer
        return {end for end in (*ends, tokenizer.eos_token_id, tokenizer.pad_token_id) if end is not None}

    def read(self, image: AnyImage | PreparedImage, *, with_sam: bool = True) -> ReadImage:
        """Read an image: vision part, LMM and SAM's encoder run once.

        Args:
            image: a file, or the bytes of one, which is turned upright as its EXIF orientation says; or pixels, which
                are taken as they lie: a PIL image, a uint8 array [IH, IW] or [IH, IW, 3] (RGB), or a uint8 tensor
                [3, IH, IW] (RGB). Or what :func:`flmm.grounder.prepared_image.prepare_image` made of one of these.
            with_sam: False leaves SAM's encoder out until refined masks are first asked for.

        Raises:
            ValueError: an image of another kind, or one that the processor refuses.
        """
        prepared = image if isinstance(image, PreparedImage) else prepare_image(image, to_sample=self.to_sample)
        return self.read_prepared(prepared, image_embedding=None if with_sam else {})

    @torch.no_grad()
    def read_prepared(self, prepared: PreparedImage, *, image_embedding: dict[str, Tensor] | None = None) -> ReadImage:
        """Read an image that is prepared for the LMM already.

        Args:
            prepared: the image, and what the LMM reads of it, with the prompt of ``to_sample``.
            image_embedding: what SAM's encoder makes of the image, where that is known. If empty, the encoder runs when
                masks are first asked for.
        """
        sample = prepared.beginning(to_sample=self.to_sample).to(self.device)
        reading = self.model.read_image(sample, image_embedding=image_embedding)
        return ReadImage(grounder=self, prepared=prepared, reading=reading)

    def read_video(
        self,
        video: VideoInput | Clip,
        *,
        read_as: Literal['video', 'images'] = 'video',
        sampling: FrameSampling | None = None,
        fps: float | None = None,
    ) -> ReadVideo:
        """Read frames of a video, which can then be asked about: vision part and LMM run once.

        Args:
            video: a video file, or its frames in order of time, as image files or PIL images of one size; or what
                :func:`flmm.video.read_clip` made of one of these. Frames are called as their files, else by numbers.
            read_as: 'video', as video tokens, a moment for each two frames, in which a phrase sees all of them; or
                'images', each frame by itself, as any LMM can read it.
            sampling: which frames are read and get masks. None is two a second of a file, and all of a list.
            fps: the rate of the frames of a list; None is 2.

        Raises:
            ValueError: a video or a setting that :func:`flmm.video.read_clip` refuses, another ``read_as``, frames that
                the processor refuses, or an LMM that reads no videos.

        >>> read = grounder.read_video('clip.mp4', sampling=FrameSampling(max_frames=32))
        >>> masks = read.ground(['the red circle that moves left']).masks  # [frames, 1, height, width]
        """
        if isinstance(video, Clip):
            if sampling is not None or fps is not None:
                raise ValueError('video is a clip, whose frames are chosen already; leave sampling and fps out')
            return ReadVideo(grounder=self, clip=video, read_as=read_as)
        clip = read_clip(video, sampling=sampling, fps=fps)
        return ReadVideo(grounder=self, clip=clip, read_as=read_as, source_names=names_of_files(video))

    def __call__(self, image: AnyImage, phrases: Iterable[str]) -> Grounding:
        """Read an image and ground phrases in it: ``read(image).ground(phrases)``."""
        return self.read(image).ground(phrases)

    def ground_many(
        self,
        images: Images,
        phrases: Iterable[str] | None = None,
        *,
        num_workers: int = 0,
        progress: bool = False,
        on_error: Literal['raise', 'yield'] = 'raise',
    ) -> Iterator[tuple[str, Grounding | ValueError]]:
        """Ground phrases in many images, one after the other, and yield what is found as soon as it is.

        What is found is the same to the last bit as with :meth:`read` and :meth:`ReadImage.ground`.

        Args:
            images: a folder, whose images are taken by name; or any iterable of what :meth:`read` takes, endless ones
                included; or, where ``phrases`` is None, of pairs (image, phrases).
            phrases: what to find in each image.
            num_workers: so many processes decode and process the images that come next, while the model runs in this
                one. 0 does all of it here.
            progress: shows a bar on stderr.
            on_error: 'raise' the error of an image that cannot be read, or of its own phrases; or 'yield' the
                ValueError in the place of the grounding, and go on.

        Yields:
            In the order of the images, the path of each, or 'images[3]' for pixels, and what was found.

        Raises:
            ValueError: no folder or iterable of images, phrases that cannot be read, or a setting out of its range, all
                of these at once; or, with ``on_error='raise'``, an image or its phrases, by name.

        >>> for name, found in grounder.ground_many('photos', ['the star'], num_workers=2, on_error='yield'):
        ...     if not isinstance(found, ValueError):
        ...         found.overlay().save(f'{name}.overlay.png')
        """
        return ground_many(self, images, phrases, num_workers=num_workers, progress=progress, on_error=on_error)
