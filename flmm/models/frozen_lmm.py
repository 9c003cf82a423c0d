"""The frozen LMM of F-LMM: what its attention and its hidden states say of phrases, whatever its family.

Letters: S tokens (padded), M masks (= phrases) of a sample, R their tokens, V views of an image, N tokens of a view,
C chosen attention heads, (h, w) the grid of the last view.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from flmm.alike import begin_alike, distinct
from flmm.families import check_lmm
from flmm.geometry import resample_view
from flmm.models.attention_capture import CAPTURING_SDPA
from flmm.models.grounding_model import GroundingModel
from flmm.models.head_selection import choose_heads
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.models.phrase_pass import PhraseText, read_texts
from flmm.models.prompt_pass import read_further_image, read_prompts
from flmm.reading import ImageReading, Prefix
from flmm.registry import MODELS
from flmm.structures import GroundingSample, ImageView

MAX_FORWARD_TOKENS = 4_096
"""So many tokens of images and prompts, padding included, go through the LMM together, or one prompt. Their keys and
values are in memory until their phrases are read: 2 GB of them in LLaVA-1.5-7B, whose heads share none.
"""


class FrozenLMM(GroundingModel):
    """A frozen LMM of transformers, and what is trained on it.

    A family says what it reads (``input_names``, ``num_views``), how images are encoded (:meth:`image_features`), and
    what its forward takes beside the text (:meth:`text_inputs`). The LMM runs without gradient, in eval mode and in its
    own dtype, up to the last layer that is read.

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

    num_views: ClassVar[int] = 1
    """How many views of an image the mask head reads; where a sample has fewer, its last stands for the others."""
    input_names: Sequence[str]
    """What the family's image processor gives for ``lmm_inputs``; a sample with others was made for another LMM."""
    lmm: PreTrainedModel | LMMWithoutWeights

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
        return {'choice of attention heads': str(self.heads), 'merge of tokens': self.merge}

    def image_features(self, samples: list[GroundingSample]) -> Sequence[Any]:
        """Run the vision part on the images of ``samples``: for each what :meth:`image_outputs` takes."""
        raise NotImplementedError

    def image_outputs(self, features: list[Any]) -> BaseModelOutputWithPooling:
        """Put the features of the images of a batch together, as the inner model takes them from its encoder."""
        return BaseModelOutputWithPooling(pooler_output=tuple(features))

    def text_inputs(self, samples: list[GroundingSample], text: dict[str, Tensor]) -> dict[str, Tensor]:
        """Say what the inner model takes beside ``input_ids``, such as positions.

        Args:
            samples: the batch.
            text: ``input_ids`` and ``attention_mask``, [B, S] each: the prompts, each with a token of text behind it,
                padded on the right.

        Returns:
            Tensors of the forward by name, whose last dimension is S. Where ``position_ids`` is among them, text behind
            the prompt goes on counting from the position of its first token.
        """
        return {}

    def to_last_view(self, maps: Tensor, view: ImageView, last: ImageView) -> Tensor:
        """Bring maps from the grid of a view to that of the last, each cell to its place in the image."""
        return resample_view(maps, view.meta_data, last.meta_data, last.layout.grid_size)

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
            ValueError: the LMM has no weights, a sample was processed for another one, or it does not begin as what its
                ``reading`` was made of.
        """
        for sample in samples:
            self.check_sample(sample)
        beginnings, index = distinct(samples, same=begin_alike)
        found: list[tuple[Tensor, Tensor] | None] = [None] * len(samples)
        with torch.autocast(device_type=samples[0].input_ids.device.type, enabled=False):
            for chunk in self._chunks([sample.prompt_length for sample in beginnings]):
                first = [beginnings[i] for i in chunk]
                prefixes = dict(zip(chunk, self._prefixes(first), strict=True))
                columns = {i: torch.cat([view.columns for view in beginnings[i].views]) for i in chunk}
                members = [n for i in chunk for n in range(len(samples)) if index[n] == i]
                read = self._read_phrases(
                    [samples[n] for n in members],
                    [prefixes[index[n]] for n in members],
                    [columns[index[n]] for n in members],
                    heads=self.heads if heads is None else heads,
                )
                for n, each in zip(members, read, strict=True):
                    found[n] = each
        attentions, hidden_states = zip(*found, strict=True)
        return list(attentions), list(hidden_states)

    @torch.no_grad()
    def read_image(self, sample: GroundingSample, *, image_embedding: dict[str, Tensor] | None = None) -> ImageReading:
        """Read image and prompt of a sample, so that samples of other phrases can carry that (``reading``).

        Args:
            sample: with the image.
            image_embedding: what SAM's encoder makes of it, where that is known.
        """
        self.check_sample(sample)
        with torch.autocast(device_type=sample.input_ids.device.type, enabled=False):
            (prefix,) = read_prompts(self, [sample], depth=self.depth)
        if image_embedding is None:
            (image_embedding,) = self.sam.encode_images([sample.image])
        return ImageReading(
            prefix=prefix,
            image_embedding=image_embedding,
            image=sample.image,
            layouts=[view.layout for view in sample.views],
            made_by=dict(self.fingerprints),
        )

    @torch.no_grad()
    def image_prefix(self, sample: GroundingSample) -> Prefix:
        """Return the beginning up to the end of the image, as all layers see it, for any text to follow.

        It is a part of the sample's reading, unless layers were left out there, or carry a state that has gone on: then
        the image is read again.
        """
        columns = sample.input_ids[: sample.prompt_length] == self.lmm.config.image_token_id
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

    def _chunks(self, lengths: list[int]) -> Iterator[list[int]]:
        """Split prompts into runs of at most ``MAX_FORWARD_TOKENS``, padding included, or of one.

        A layer without attention would carry padding on in its state: with such layers, each prompt is a run.
        """
        alone = len(attention_layers(self.lmm.config.get_text_config())) < self.num_layers
        chunk: list[int] = []
        for i, length in enumerate(lengths):
            longest = max(length, *(lengths[j] for j in chunk)) if chunk else length
            if chunk and (alone or longest * (len(chunk) + 1) > MAX_FORWARD_TOKENS):
                yield chunk
                chunk = []
            chunk.append(i)
        yield chunk

    def _prefixes(self, samples: list[GroundingSample]) -> list[Prefix]:
        """Return the prefix of each sample: that of its reading, or else read now."""
        for sample in samples:
            if sample.reading is not None:
                self.check_made_by(f'the reading of image {sample.image_path!r} was', sample.reading.made_by)
                sample.reading.check_begins(sample, depth=self.depth)
        unread = [sample for sample in samples if sample.reading is None]
        read = iter(read_prompts(self, unread, depth=self.depth)) if unread else iter(())
        return [next(read) if sample.reading is None else sample.reading.prefix for sample in samples]

    def _read_phrases(
        self,
        samples: list[GroundingSample],
        prefixes: list[Prefix],
        image_columns: list[Tensor],
        *,
        heads: dict[int, list[int]],
    ) -> list[tuple[Tensor, Tensor]]:
        """Read what stands behind the prompts: [M, V * C, h, w] attention and hidden states of each sample."""
        texts, counts = [], []
        for sample, prefix, columns in zip(samples, prefixes, image_columns, strict=True):
            own = sample.texts
            for places in own:
                mask_ids = sample.mask_ids[places]
                if sample.independent:
                    mask_ids = torch.zeros_like(mask_ids)
                texts.append(
                    PhraseText(
                        prefix=prefix, image_columns=columns, input_ids=sample.input_ids[places], mask_ids=mask_ids
                    )
                )
            counts.append(len(own))
        read = iter(read_texts(self.lmm.model.language_model, texts, merge=self.merge, heads=heads))
        found = []
        for sample, count in zip(samples, counts, strict=True):
            maps, states = zip(*(next(read) for _ in range(count)), strict=True)
            found.append((self._on_grid(sample, torch.cat(maps)), torch.cat(states, dim=1)))
        return found

    def check_sample(self, sample: GroundingSample) -> None:
        """Refuse what was processed for another LMM.

        Raises:
            ValueError: naming the image and what does not fit, or that the LMM has no weights.
        """
        if isinstance(self.lmm, LMMWithoutWeights):
            raise ValueError(
                f'the sample of {sample.image_path!r} carries no features, and the LMM was built without weights; '
                'read stored features (CachedFeatures), or load the LMM'
            )
        if sample.lmm_inputs.keys() != set(self.input_names):
            raise ValueError(
                f'image {sample.image_path!r} was processed to {sorted(sample.lmm_inputs)}, the model reads '
                f"{sorted(self.input_names)}; use the model's own processor"
            )
        if len(sample.views) > self.num_views:
            raise ValueError(
                f'image {sample.image_path!r} has {len(sample.views)} views, the model reads {self.num_views} '
                "(num_views); use the model's own processor"
            )
        expected = self.lmm.config.image_token_id
        found = set(sample.input_ids[torch.cat([view.columns for view in sample.views])].tolist())
        if found != {expected}:
            raise ValueError(
                f'image {sample.image_path!r} was processed with image tokens {sorted(found)}, the model has '
                f"{expected}; use the model's own processor"
            )

    def _on_grid(self, sample: GroundingSample, maps: Tensor) -> Tensor:
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


def attention_layers(text_config: Any) -> list[int]:
    """Tell which layers of a language model have attention whose maps can be read.

    Raises:
        ValueError: attention is within sliding windows, or of another kind that the capture does not know.
    """
    types = getattr(text_config, 'layer_types', None) or ['full_attention'] * text_config.num_hidden_layers
    windowed = getattr(text_config, 'sliding_window', None) is not None and 'layer_types' not in text_config.to_dict()
    if windowed or 'sliding_attention' in types:
        raise ValueError(
            'lmm uses sliding-window attention; in its text_config set sliding_window to None (Mistral) or '
            'use_sliding_window to False (Qwen)'
        )
    unknown = sorted(set(types) - {'full_attention', 'linear_attention'})
    if unknown:
        raise ValueError(f'lmm has layers of {unknown}, which cannot be read; give an LMM of full or linear attention')
    return [layer for layer, kind in enumerate(types) if kind == 'full_attention']
