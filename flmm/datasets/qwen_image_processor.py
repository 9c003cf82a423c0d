"""An image and a user prompt -> what Qwen2-VL and Qwen2.5-VL read, through the checkpoint's own processor."""

import os
import random
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import ProcessorMixin
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import SETTINGS
from flmm.geometry import frame_meta_data
from flmm.pretrained import load_processor
from flmm.qwen import AdaptiveQwen2VLImageProcessor
from flmm.registry import TRANSFORMS

# Takes the user's place while the chat template is rendered, so that the template alone decides what is special.
PROMPT_SENTINEL = '\u241f'


@TRANSFORMS.register_module()
class QwenImageProcessorWrapper:
    """A Qwen2-VL or Qwen2.5-VL processor for one image and one user turn.

    Everything comes from the checkpoint: smart_resize, normalization, chat template. Image tokens may be pruned by
    adaptive patches (:class:`flmm.qwen.AdaptiveQwen2VLImageProcessor`); by default they are the stock ones. Two things
    are guarded: ``<image>`` placeholders, which users of LLaVA-style prompts write, are stripped, since the chat
    template already places the one vision span; and text is tokenized as plain text, so a prompt or phrase with the
    characters ``<|image_pad|>`` cannot change the number of image tokens.

    Args:
        pretrained_model_name_or_path: a folder or a hub name, for :func:`flmm.pretrained.load_processor`; or a
            processor already loaded.
        min_pixels: lower bound of smart_resize in px; None keeps the checkpoint's.
        max_pixels: upper bound of smart_resize in px; None keeps the checkpoint's.
        patch_selection_method: 'none', 'v1', 'v2' or 'budget': see :class:`flmm.apt.PatchSelection`, as for the rest.
        alpha: the share of tokens to keep ('budget'), or a factor of the threshold ('v2'). A pair (low, high) draws it
            evenly for each image anew, from Python's ``random``: training that is to serve many budgets.
        **selection: any other field of :class:`flmm.apt.PatchSelection`, such as ``method``, ``blur`` or
            ``max_token_size``.

    Raises:
        ValueError: bounds of the image size that exclude each other, a setting of the patches out of its range, or an
            unknown one.

    >>> processor = QwenImageProcessorWrapper(
    ...     pretrained_model_name_or_path='assets/demo_lmm', patch_selection_method='budget', alpha=0.3, blur=5
    ... )
    """

    def __init__(
        self,
        *,
        pretrained_model_name_or_path: str | os.PathLike | ProcessorMixin,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        patch_selection_method: str = 'none',
        alpha: float | Sequence[float] = 1.0,
        **selection: Any,
    ) -> None:
        unknown = [name for name in selection if name not in SETTINGS]
        if unknown:
            raise ValueError(
                f'unknown setting {unknown[0]!r}; expected min_pixels, max_pixels or one of the selection of patches: '
                f'{", ".join(SETTINGS)}'
            )
        if isinstance(pretrained_model_name_or_path, (str, os.PathLike)):
            pretrained_model_name_or_path = load_processor(pretrained_model_name_or_path)
        self.processor = pretrained_model_name_or_path
        self.tokenizer = self.processor.tokenizer
        self.image_token_id: int = self.processor.image_token_id
        bounds = tuple(alpha) if isinstance(alpha, Sequence) else (alpha, alpha)
        if len(bounds) != 2 or not all(isinstance(bound, Real) for bound in bounds) or bounds[0] > bounds[1]:
            raise ValueError(f'alpha is {alpha!r}, expected a number or a pair (low, high) with low <= high')
        self.alpha_range = (float(bounds[0]), float(bounds[1]))
        if patch_selection_method == 'none' and self.alpha_range != (1.0, 1.0):
            warnings.warn(
                f"alpha is {alpha}, but patch_selection_method 'none' does not use it; 'v2' and 'budget' do",
                UserWarning,
                stacklevel=2,
            )
        for bound in sorted(set(self.alpha_range)):  # the constructor names what is out of range
            self.image_processor = AdaptiveQwen2VLImageProcessor.from_dict(
                self.processor.image_processor.to_dict(),
                **SETTINGS | selection | {'patch_selection_method': patch_selection_method, 'alpha': bound},
            )
        # The others don't use it and say so: another alpha for each image would be another warning for each.
        self.draws_alpha = bounds[0] < bounds[1] and patch_selection_method in ('v2', 'budget')
        size = self.image_processor.size
        self.size = {
            'shortest_edge': size['shortest_edge'] if min_pixels is None else min_pixels,
            'longest_edge': size['longest_edge'] if max_pixels is None else max_pixels,
        }
        if not 0 < self.size['shortest_edge'] <= self.size['longest_edge']:
            raise ValueError(f'min_pixels and max_pixels give {self.size}; expected 0 < min_pixels <= max_pixels')

    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image of this size in px has, at most."""
        unit = self.image_processor.patch_size * self.image_processor.merge_size
        bounds = {'min_pixels': self.size['shortest_edge'], 'max_pixels': self.size['longest_edge']}
        height, width = smart_resize(height, width, factor=unit, **bounds)
        grid = (height // unit, width // unit)
        if self.image_processor.patch_selection_method != 'budget':
            return grid[0] * grid[1]
        merged = self.image_processor.merge_size**2
        fewest = TokenLayout.fewest_tokens(grid, max_token_size=self.image_processor.max_token_size)
        return max(fewest, round(self.alpha_range[1] * grid[0] * grid[1] * merged) // merged)

    def encode_text(self, text: str) -> list[int]:
        """Tokenize ``text`` as plain text: no special token is added, and none is read out of it."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)['input_ids']

    def preprocess(self, images: Image.Image | list[Image.Image], *, prompt: str) -> dict[str, list[Any]]:
        """Prepare each image with the same prompt. All lists have one entry for each image.

        Returns:
            A dict of ``pixel_values`` ([P, 1176] float32), ``image_grid_thw`` ([1, 3] long, the dense grid),
            ``image_layouts`` ([P / 4, 3] long, see :class:`flmm.apt.TokenLayout`), ``input_ids_with_vision`` ([S] long:
            the rendered chat up to the start of the answer, one vision span of P / 4 image tokens), ``image_sizes``
            ((height, width) of the original) and ``meta_datas`` (see ``flmm.geometry``).

        Raises:
            ValueError: an aspect ratio over 200 (smart_resize).
        """
        images = images if isinstance(images, list) else [images]
        keys = ('pixel_values', 'meta_datas', 'image_sizes', 'image_grid_thw', 'image_layouts', 'input_ids_with_vision')
        results: dict[str, list[Any]] = {key: [] for key in keys}
        for image in images:
            drawn = {'alpha': random.uniform(*self.alpha_range)} if self.draws_alpha else {}
            features = self.image_processor(images=image, size=self.size, return_tensors='pt', **drawn)
            grid = features['image_grid_thw']
            patch_size = self.image_processor.patch_size
            processed_size = (int(grid[0, 1]) * patch_size, int(grid[0, 2]) * patch_size)
            original_size = (image.height, image.width)
            results['pixel_values'].append(features['pixel_values'])
            results['image_grid_thw'].append(grid)
            results['image_layouts'].append(features['image_layout'])
            results['image_sizes'].append(original_size)
            results['meta_datas'].append(frame_meta_data(original_size=original_size, image_size=processed_size))
            results['input_ids_with_vision'].append(self._prompt_ids(prompt, len(features['image_layout'])))
        return results

    def _prompt_ids(self, prompt: str, num_image_tokens: int) -> torch.Tensor:
        user_turn = [{'type': 'image'}, {'type': 'text', 'text': PROMPT_SENTINEL}]
        rendered = self.processor.apply_chat_template(
            [{'role': 'user', 'content': user_turn}], tokenize=False, add_generation_prompt=True
        )
        before, found, after = rendered.partition(PROMPT_SENTINEL)
        if not found or before.count(self.processor.image_token) != 1 or self.processor.image_token in after:
            raise ValueError(
                'the chat template does not render one image and one text once each; expected a template like '
                f"Qwen2-VL's, got {rendered!r}"
            )
        before_ids, after_ids = (
            np.array(self.tokenizer(part, add_special_tokens=False)['input_ids'], dtype=np.int64)
            for part in (before, after)
        )
        repeats = np.where(before_ids == self.image_token_id, num_image_tokens, 1)
        prompt_ids = np.array(self.encode_text(prompt.replace('<image>', '').strip()), dtype=np.int64)
        return torch.from_numpy(np.concatenate([np.repeat(before_ids, repeats), prompt_ids, after_ids]))
