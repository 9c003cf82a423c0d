"""Conversations with tiny models, and what the stock models say to them, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tiny_adaptive
import torch
from PIL import Image
from tiny_adaptive import half_smooth_image
from tiny_families import TINY, build_grounder, build_wrapper
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from flmm.datasets import RefCOCO2PNG
from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.grounder import Grounder, ReadImage

IMAGE_SIZE = (100, 160)
BLANK_FIRST = ('llava', 'llava_next', 'deepseek_vl', 'deepseek_vl_hybrid')
"""Families whose templates leave the blank before an answer to the LMM."""


@dataclass(kw_only=True, frozen=True)
class Talker:
    """A family's tiny model, how it is read, and the stock model with the same weights.

    Args:
        model_type: the family.
        processor: settings of its ImageProcessorWrapper.
        model: settings of its FrozenLMM, ``num_layers`` of the LMM among them.
    """

    model_type: str
    processor: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image(self) -> Image.Image:
        """An image in which some tokens can be pruned."""
        return half_smooth_image(IMAGE_SIZE, seed=1)

    def grounder(self, **settings: Any) -> Grounder:
        """Build it, with the chat template of the checkpoint, which alone knows of a second turn."""
        wrapper = build_wrapper(self.model_type, prompt_template=None, **self.processor)
        model = build_grounder(self.model_type, **{**self.model, **settings})
        return Grounder(model=model, to_sample=RefCOCO2PNG(image_processor=wrapper, prompt='What is it?'))

    def stock_lmm(self) -> PreTrainedModel:
        """The LMM with the same weights, as whoever does not know this package would load it; attention is eager."""
        sizes = {'layers': self.model['num_layers']} if 'num_layers' in self.model else {}
        lmm = TINY[self.model_type].lmm(self.model_type, **sizes)
        if self.processor:
            adaptive = tiny_adaptive.MODELS[self.model_type](lmm.config).eval()
            adaptive.load_state_dict(lmm.state_dict())
            lmm = adaptive
        lmm.set_attn_implementation('eager')
        return lmm

    def stock_inputs(self, read: ReadImage, input_ids: Tensor) -> dict[str, Tensor]:
        """What it is called with for an image and a sequence."""
        inputs = {'input_ids': input_ids[None], 'attention_mask': torch.ones_like(input_ids)[None]}
        inputs |= read.processed.lmm_inputs
        if TINY[self.model_type].needs_token_types:
            image_token = read.grounder.to_sample.image_processor.image_token_id
            inputs['mm_token_type_ids'] = (input_ids == image_token).int()[None]
        if self.processor:
            layout = read.processed.views[-1].layout
            inputs |= {'image_layout': layout.tokens, 'image_num_tokens': torch.tensor([len(layout)])}
        return inputs

    def stock_answer(self, lmm: PreTrainedModel, read: ReadImage, prompt_ids: Tensor, **settings: Any) -> Tensor:
        """What its own generate says behind the whole sequence: [N] long."""
        made = lmm.generate(**self.stock_inputs(read, prompt_ids), **{'do_sample': False, **settings})
        return made[0, len(prompt_ids) :]

    @torch.no_grad()
    def stock_forward(self, lmm: PreTrainedModel, read: ReadImage, input_ids: Tensor) -> ModelOutput:
        """Attention and hidden states of the whole sequence."""
        inputs = self.stock_inputs(read, input_ids)
        return lmm(**inputs, output_attentions=True, output_hidden_states=True)


def spoken(model_type: str, wrapper: ImageProcessorWrapper) -> dict[str, Any]:
    """Settings of generate with which a random model says letters, and does not end."""
    tokenizer = wrapper.tokenizer
    said = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
    letters = {token for token, text in said.items() if len(text) == 1 and text.isascii() and text.isalpha()}
    settings = {'suppress_tokens': [token for token in said if token not in letters]}
    if model_type not in BLANK_FIRST:
        return settings
    (*_, blank) = tokenizer(' ', add_special_tokens=False)['input_ids']
    return {
        'suppress_tokens': [token for token in said if token not in {*letters, blank}],
        'begin_suppress_tokens': [token for token in said if token != blank],
    }


def stock_prompt(read: ReadImage, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
    """Render the whole conversation by the chat template: [S] long, up to where the answer to the last one starts."""
    wrapper = read.grounder.to_sample.image_processor
    turns = []
    for question, answer in zip(questions, [*answers, None], strict=True):
        image = [] if turns else [{'type': 'image'}]
        turns.append({'role': 'user', 'content': [*image, {'type': 'text', 'text': question}]})
        if answer is not None:
            turns.append({'role': 'assistant', 'content': [{'type': 'text', 'text': answer}]})
    text = wrapper.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = wrapper.tokenizer(text)['input_ids']
    start = ids.index(wrapper.image_token_id)
    num_tokens = int((read.processed.input_ids == wrapper.image_token_id).sum())
    return torch.tensor([*ids[:start], *[wrapper.image_token_id] * num_tokens, *ids[start + 1 :]])
