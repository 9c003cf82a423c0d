"""The frozen LMM of F-LMM: what its attention and its hidden states say of phrases, whatever its family.

Letters: M masks (= phrases) of a sample, V views of an image, N tokens of a view, C chosen attention heads, (h, w) the
grid of the last view.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flmm.families import check_lmm
from flmm.models.attention_capture import CAPTURING_SDPA
from flmm.models.grounding_model import GroundingModel
from flmm.models.head_selection import attention_layers, choose_heads
from flmm.models.lmm_family import LMMFamily
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.models.prompt_pass import read_further_image, read_prompts
from flmm.models.two_passes import prompt_chunks, read_samples
from flmm.reading import ImageReading, Prefix
from flmm.registry import MODELS
from flmm.structures import GroundingSample


class FrozenLMM(LMMFamily, GroundingModel):
    """A frozen LMM of transformers, and what is trained on it.

    What differs between families of LMMs, a subclass says (:class:`LMMFamily`). The LMM runs without gradient, in eval
    mode and in its own dtype, up to the last layer that is read.

    Args:
        lmm: the LMM, or the config of a function that loads it.
        merge: how the maps of a phrase's tokens become one: 'mean' or 'max'.
        layers: the mask head reads the attention of all heads of these layers, counted from 0.
        heads: or of these (layer, head) pairs, such as tools/select_heads.py finds. The LMM is run up to the last
            layer that is read. Neither: of all heads of all layers that have attention.
        coarse_attention: how the attention that a token of several cells of its grid gets is laid onto them: 'spread'
            divides it over its cells, so that the total is conserved; 'copy' gives all of it to each.
        **kwargs: GroundingModel's.

    Attributes:
        heads: the chosen heads of each layer, both ascending; channels are in this order, view after view.
        depth: how many layers of the LMM are run.

    Raises:
        ValueError: an LMM of another family, an unknown setting, or heads that are not there.
    """

    def __init__(
        self,
        *,
        lmm: nn.Module | dict,
        merge: str = 'mean',
        layers: Sequence[int] | None = None,
        heads: Sequence[tuple[int, int]] | None = None,
        coarse_attention: str = 'spread',
        **kwargs: Any,
    ) -> None:
        if merge not in ('mean', 'max'):
            raise ValueError(f"merge is {merge!r}, expected 'mean' or 'max'")
        if coarse_attention not in ('spread', 'copy'):
            raise ValueError(f"coarse_attention is {coarse_attention!r}, expected 'spread' or 'copy'")
        lmm = MODELS.build(lmm) if isinstance(lmm, dict) else lmm
        check_lmm(lmm, reader=type(self))
        if getattr(lmm, 'tp_size', None) not in (None, 1):
            raise ValueError(
                f'the heads of the LMM are split over {lmm.tp_size} processes (tp_plan), each of which reads other '
                'images in a run and would see its own heads alone; load it with device_map in one process '
                '(docs/gpus.md)'
            )
        text_config = lmm.config.get_text_config()
        self.num_layers: int = text_config.num_hidden_layers
        self.num_heads: int = text_config.num_attention_heads
        self.hidden_size: int = text_config.hidden_size
        heads = choose_heads(
            num_heads=self.num_heads, attention_layers=attention_layers(text_config), layers=layers, heads=heads
        )
        # Before the rest: a model that takes trained masks compares how it reads with how they were trained.
        self.heads, self.depth = heads, max(heads) + 1
        self.merge, self.coarse_attention = merge, coarse_attention
        super().__init__(
            lmm=lmm,
            num_channels=self.num_views * sum(map(len, heads.values())),
            hidden_size=self.hidden_size,
            depth=self.depth,
            **kwargs,
        )
        if not isinstance(lmm, LMMWithoutWeights):
            lmm.set_attn_implementation({'text_config': CAPTURING_SDPA})

    @property
    def run_heads(self) -> dict[int, list[int]]:
        """All attention heads of the layers that are run, as ``heads`` has those that the mask head reads."""
        layers = attention_layers(self.lmm.config.get_text_config())
        return {layer: list(range(self.num_heads)) for layer in layers if layer < self.depth}

    @property
    def attention_settings(self) -> dict[str, str]:
        """How maps are taken from attention, for checkpoints: another way would fit the mask head, too."""
        return {
            'choice of attention heads': str(self.heads),
            'merge of tokens': self.merge,
            'attention of coarse tokens': self.coarse_attention,
        }

    @torch.no_grad()
    def run_lmm(
        self, samples: list[GroundingSample], *, heads: dict[int, list[int]] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the LMM alone, in its own precision even under AMP; what begins alike is read once.

        Args:
            samples: the batch.
            heads: the attention heads to read, in place of the attribute ``heads``, in layers that are run.

        Returns:
            For each sample the ``attentions`` and the ``hidden_states`` of :class:`flmm.structures.FrozenFeatures`.

        Raises:
            ValueError: the LMM has no weights, a sample was processed for another one, it does not begin as what its
                ``reading`` was made of, or another LMM or SAM has made that; or it is of a video (:meth:`run_moments`).
        """
        read = self.run_moments(samples, heads=heads)
        for sample in samples:
            if sample.is_video:
                raise ValueError(f'sample of video {sample.image_path!r} has no masks of its own; give its ClipSample')
        return [maps[0] for maps, _ in read], [states for _, states in read]

    @torch.no_grad()
    def run_moments(
        self, samples: list[GroundingSample], *, heads: dict[int, list[int]] | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Run the LMM over samples of images and of videos; an image is one moment, a video has one for each view.

        Args:
            samples: the batch.
            heads: as :meth:`run_lmm` has it.

        Returns:
            For each sample [moments, M, channels, h, w] float32 attention and [layers, R, hidden], the hidden states of
            its R phrase tokens, which have seen all of the video.

        Raises:
            ValueError: as in :meth:`run_lmm`.
        """
        for sample in samples:
            self.check_sample(sample)
        with torch.autocast(device_type=samples[0].input_ids.device.type, enabled=False):
            read = read_samples(self, samples, heads=self.heads if heads is None else heads)
        return [(self._by_moment(sample, maps), states) for sample, (maps, states) in zip(samples, read, strict=True)]

    def _by_moment(self, sample: GroundingSample, maps: Tensor) -> Tensor:
        """[M, C, sum of N] -> [moments, M, channels, h, w]."""
        if not sample.is_video:
            return self.on_grid(sample, maps)[None]
        parts = maps.split([len(view.columns) for view in sample.views], dim=-1)
        return torch.stack(
            [
                view.layout.to_dense(part, mode=self.coarse_attention)
                for view, part in zip(sample.views, parts, strict=True)
            ]
        )

    def read_image(self, sample: GroundingSample, *, image_embedding: dict[str, Tensor] | None = None) -> ImageReading:
        """Read image and prompt of one sample; see :meth:`read_images`."""
        (reading,) = self.read_images([sample], image_embeddings=None if image_embedding is None else [image_embedding])
        return reading

    @torch.no_grad()
    def read_images(
        self, samples: Sequence[GroundingSample], *, image_embeddings: Sequence[dict[str, Tensor]] | None = None
    ) -> list[ImageReading]:
        """Read image and prompt of samples together, so that samples of other phrases can carry that (``reading``).

        Args:
            samples: each with its image.
            image_embeddings: what SAM's encoder makes of each image, where that is known.
        """
        for sample in samples:
            self.check_sample(sample)
        prefixes: list[Prefix] = []
        with torch.autocast(device_type=samples[0].input_ids.device.type, enabled=False):
            for chunk in prompt_chunks(self, samples):
                prefixes += read_prompts(self, [samples[i] for i in chunk], depth=self.depth)
        if image_embeddings is None:
            image_embeddings = self.sam.encode_images([sample.image for sample in samples])
        return [
            ImageReading(
                prefix=prefix,
                image_embedding=embedding,
                image=sample.image,
                layouts=[view.layout for view in sample.views],
                made_by=dict(self.fingerprints),
            )
            for sample, prefix, embedding in zip(samples, prefixes, image_embeddings, strict=True)
        ]

    @torch.no_grad()
    def image_prefix(self, sample: GroundingSample) -> Prefix:
        """Return the beginning up to the end of the image, as all layers see it, for any text to follow.

        It is a part of the sample's reading, unless layers were left out there, or carry a state that has gone on: then
        the image is read again.
        """
        columns = sample.input_ids[: sample.prompt_length] == self.placeholder_id(sample)
        length = int(columns.nonzero().max()) + 1
        kept = None if sample.reading is None else sample.reading.prefix
        if kept is not None and self.depth == self.num_layers and not kept.carries:
            return kept.cropped(length)
        self.check_sample(sample)
        unread = _with_pixels(sample).with_outputs(prompt_length=length)
        with torch.autocast(device_type=sample.input_ids.device.type, enabled=False):
            (prefix,) = read_prompts(self, [unread], depth=self.num_layers)
        return prefix

    @torch.no_grad()
    def further_image_prefix(self, prefix: Prefix, images: Sequence[GroundingSample], input_ids: Tensor) -> Prefix:
        """Read one more image behind others, in the same turn; see :func:`read_further_image`."""
        self.check_sample(images[-1])
        with torch.autocast(device_type=input_ids.device.type, enabled=False):
            return read_further_image(self, prefix, [_with_pixels(sample) for sample in images], input_ids)

    def on_grid(self, sample: GroundingSample, maps: Tensor) -> Tensor:
        """Lay attention to the tokens of all views onto the grid of the last: [M, C, sum of N] -> [M, V * C, h, w]."""
        counts = [len(view.columns) for view in sample.views]
        dense = [
            view.layout.to_dense(part, mode=self.coarse_attention)  # [M, C, rows, columns] of the view's grid
            for view, part in zip(sample.views, maps.split(counts, dim=-1), strict=True)
        ]
        resampled = [
            self.to_last_view(part, view, sample.views[-1])
            for view, part in zip(sample.views[:-1], dense[:-1], strict=True)
        ]
        missing = self.num_views - len(dense)
        return torch.cat([*resampled, *[dense[-1]] * (missing + 1)], dim=1)


def _with_pixels(sample: GroundingSample) -> GroundingSample:
    """Return an unread copy: what was read before leaves its pixels behind (:meth:`GroundingSample.to`)."""
    return sample.with_outputs(reading=None).to(sample.input_ids.device)
