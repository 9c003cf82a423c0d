"""What is never trained, the LMM and SAM's image encoder: what they say of samples; and their fingerprints."""

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from flmm.alike import distinct
from flmm.clip_sample import ClipSample
from flmm.models.fingerprints import different_part, weights_fingerprint
from flmm.structures import FrozenFeatures, GroundingSample

FROZEN = ('lmm', 'sam.model.image_encoder', 'tracker')
"""Modules that are never trained, nor saved with the others, as far as a model has them."""
FRAMES_AT_ONCE = 8
"""So many frames of a clip are encoded and decoded together, where nothing is kept of them but their masks."""
Embed = Callable[[Sequence[int]], list[dict[str, Tensor]]]
"""Gives what SAM's encoder makes of frames of a clip, by their numbers."""


def no_embeddings(numbers: Sequence[int]) -> list[dict[str, Tensor]]:
    """Give nothing in the place of what SAM's encoder makes of frames, where no mask is made of them."""
    return [{} for _ in numbers]


class FrozenParts(BaseModel):
    """The frozen half of a :class:`flmm.models.GroundingModel`, which builds ``lmm``, ``sam`` and ``tracker``.

    How the LMM is read, a subclass says (:meth:`run_lmm`, :attr:`attention_settings`).
    """

    lmm: nn.Module
    sam: nn.Module
    tracker: nn.Module | None

    def run_lmm(self, samples: list[GroundingSample]) -> tuple[list[Tensor], list[Tensor]]:
        """Return for each sample ``attentions`` and ``hidden_states`` of :class:`flmm.structures.FrozenFeatures`."""
        raise NotImplementedError

    def run_moments(self, samples: list[GroundingSample]) -> list[tuple[Tensor, Tensor]]:
        """Return for each sample the attention to each moment of it, and the hidden states of its phrases."""
        raise NotImplementedError

    @property
    def attention_settings(self) -> dict[str, str]:
        """How :meth:`run_lmm` takes maps from the LMM, for checkpoints: another way would fit the mask head, too."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> 'FrozenParts':  # noqa: FBT001, FBT002 (torch's signature)
        """Set the trainable part to training or evaluation; LMM and tracker stay in evaluation."""
        super().train(mode)
        for frozen in (self.lmm, self.tracker):
            if frozen is not None:
                frozen.eval()
        return self

    def __deepcopy__(self, memo: dict) -> 'FrozenParts':
        """Copy all but the frozen modules, which the copy shares: an average of weights (EMA) needs no second LMM."""
        memo |= {id(module): module for name, module in self.named_modules() if name in FROZEN}
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def frozen_parts(self) -> dict[str, str | None]:
        """Say what the trained part reads, for its checkpoints: what would fit another model of the same shape.

        Returns:
            Fingerprints of the weights (None where unknown: an LMM without weights), and how attention is read.
        """
        return {**self.fingerprints, **self.attention_settings}

    @cached_property
    def fingerprints(self) -> dict[str, str | None]:
        """What tells the weights of the frozen parts from others; None of a part without weights."""
        encoder = self.sam.model.image_encoder
        return {'LMM': weights_fingerprint(self.lmm), 'image encoder of SAM': weights_fingerprint(encoder)}

    def check_made_by(self, what: str, made_by: dict[str, str | None]) -> None:
        """Refuse what other frozen parts have made.

        Args:
            what: begins the message, such as "the reading of image 'a.jpg' was".
            made_by: which parts made it, as :meth:`frozen_parts` says it, or some of them.

        Raises:
            ValueError: naming what differs.
        """
        own = self.frozen_parts()
        name = different_part(made_by, own)
        if name is not None:
            raise ValueError(
                f'{what} made by another {name} ({made_by[name]}) than the model has ({own[name]}); '
                'read the image with this model, or make stored features again'
            )
        self.stand_for(made_by)

    def stand_for(self, parts: dict[str, str | None]) -> None:
        """Take parts that are here without weights for those of features or of a checkpoint.

        Args:
            parts: what made the features, or what the checkpoint was trained over, as :meth:`frozen_parts` says it.
        """
        self.fingerprints.update({name: parts.get(name) for name, value in self.fingerprints.items() if value is None})

    def init_weights(self) -> None:
        """Do nothing: every part comes initialised or loaded, and the frozen ones must stay as they are."""

    @torch.no_grad()
    def encode(self, samples: list[GroundingSample], *, for_masks: bool = True) -> list[FrozenFeatures]:
        """Return what the frozen parts say of each sample: what it carries already, or else computed.

        Args:
            samples: the samples.
            for_masks: whether SAM's image encoder is run, too; without it ``image_embedding`` of what is computed is
                empty, and no mask can be made.
        """
        for sample in samples:
            if sample.features is not None and sample.features.made_by is not None:
                self.check_made_by(f'the features of image {sample.image_path!r} were', sample.features.made_by)
        unknown = [sample for sample in samples if sample.features is None]
        computed = iter(self._frozen_features(unknown, for_masks=for_masks)) if unknown else iter(())
        return [next(computed) if sample.features is None else sample.features for sample in samples]

    @torch.no_grad()
    def encode_frames(self, clip: ClipSample, *, embed: Embed | None = None) -> Iterator[list[GroundingSample]]:
        """Yield the frames of a clip, :data:`FRAMES_AT_ONCE` at a time, each with what the frozen parts say of it.

        What the LMM reads is read once, and when the first frame of it is due: one sequence of a video, or the images
        of the frames that are yielded.

        Args:
            clip: the clip.
            embed: gives what SAM's encoder makes of them; None runs it.
        """
        read: dict[int, tuple[Tensor, Tensor]] = {}  # by the number of the sequence
        for start in range(0, len(clip.frames), FRAMES_AT_ONCE):
            numbers = range(start, min(start + FRAMES_AT_ONCE, len(clip.frames)))
            needed = dict.fromkeys(clip.shown_in[number][0] for number in numbers)
            read = {sequence: read[sequence] for sequence in needed if sequence in read}
            unread = [sequence for sequence in needed if sequence not in read]
            if unread:
                read |= zip(unread, self.run_moments([clip.sequences[sequence] for sequence in unread]), strict=True)
            if embed is None:
                embeddings = self.sam.encode_images([clip.frames[number] for number in numbers])
            else:
                embeddings = embed(numbers)
            frames = []
            for number, embedding in zip(numbers, embeddings, strict=True):
                sequence, moment = clip.shown_in[number]
                maps, states = read[sequence]
                features = FrozenFeatures(attentions=maps[moment], hidden_states=states, image_embedding=embedding)
                frames.append(clip.frame_sample(number, features=features))
            yield frames

    def _frozen_features(self, samples: list[GroundingSample], *, for_masks: bool) -> list[FrozenFeatures]:
        attentions, hidden_states = self.run_lmm(samples)
        embeddings = self._image_embeddings(samples) if for_masks else [{}] * len(samples)
        return [
            FrozenFeatures(attentions=maps, hidden_states=states, image_embedding=embedding)
            for maps, states, embedding in zip(attentions, hidden_states, embeddings, strict=True)
        ]

    def _image_embeddings(self, samples: list[GroundingSample]) -> list[dict[str, Tensor]]:
        """Return SAM's embedding of each image: that of the sample's reading, or else computed."""
        # One image in several samples (a phrase each) is the same object, and SAM's encoder is what costs most.
        unread = [sample.image for sample in samples if sample.reading is None]
        images, index = distinct(unread, same=operator.is_)
        encoded = self.sam.encode_images(images) if images else []
        computed = (encoded[i] for i in index)
        return [next(computed) if sample.reading is None else sample.reading.image_embedding for sample in samples]
