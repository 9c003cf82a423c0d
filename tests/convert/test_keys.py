import re

import pytest
import torch
from published_f_lmm import FREQUENCIES, PUBLISHED, published_shapes
from torch import nn

from flmm.convert import TrainedPart, converted_weights, match_keys
from flmm.models import SAMWrapper, UNetHead
from flmm.models.frozen_parts import FROZEN
from flmm.models.sam import build_sam
from flmm.models.trainable_state import keep_trainable_state


class Grounder(nn.Module):
    """The parts of a FrozenLMM in their published sizes, on any LMM."""

    def __init__(self, *, layers, channels, hidden_size):
        super().__init__()
        self.lmm = nn.Linear(2, 2)
        self.mask_head = UNetHead(in_channels=channels)
        self.sam = SAMWrapper(sam=build_sam(model_type='vit_l'))
        self.text_proj = nn.Linear(hidden_size, self.sam.text_dim)
        self.text_layer_weights = nn.Parameter(torch.zeros(layers))
        keep_trainable_state(self, frozen=FROZEN)


def sizes_of(name):
    layers, heads, hidden_size, views = PUBLISHED[name]
    return {'layers': layers, 'channels': layers * heads * views, 'hidden_size': hidden_size}


def part_of(**sizes):
    with torch.device('meta'):
        return TrainedPart.of(Grounder(**sizes))


@pytest.mark.parametrize(
    ('name', 'channels'),
    list(zip(PUBLISHED, (1024, 2048, 2048, 384, 960), strict=True)),
)
def test_the_published_sizes_fit(name, channels):
    sizes = sizes_of(name)
    assert sizes['channels'] == channels
    shapes = published_shapes(**sizes)
    part = part_of(**sizes)
    rows = match_keys({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, part)
    assert {row.status for row in rows} == {'mapped'}
    assert [(row.key, row.target, row.shape) for row in rows] == [(key, key, shape) for key, shape in shapes.items()]
    # 53 of the mask head, 16 of the prompt encoder, 119 of the mask decoder, 3 of the text
    assert len(part.weights) == len(shapes) - 1 == 53 + 16 + 119 + 3 + 1
    assert [row.reason for row in rows if row.reason] == ['a constant: compared with the model when it is loaded']


def test_the_head_of_another_model_is_refused():
    shapes = published_shapes(**sizes_of('frozen_deepseek_vl_1_3b_chat'))
    weights = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    part = part_of(**sizes_of('frozen_deepseek_vl_7b_chat'))
    rows = match_keys(weights, part)
    refused = {row.key: (row.shape, row.target, row.reason) for row in rows if row.status == 'refused'}
    assert refused == {
        'text_layer_weights': ((24,), None, 'the model has (30,)'),
        'mask_head.encoder.0.0.convs.0.conv.weight': ((64, 384, 3, 3), None, 'the model has (64, 960, 3, 3)'),
        'text_proj.weight': ((256, 2048), None, 'the model has (256, 4096)'),
    }
    message = (
        '3 keys do not fit the model: text_layer_weights (24,): refused, the model has (30,); '
        'mask_head.encoder.0.0.convs.0.conv.weight (64, 384, 3, 3): refused, the model has (64, 960, 3, 3); '
        'text_proj.weight (256, 2048): refused, the model has (256, 4096). Give the config of the model'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        converted_weights(weights, rows, part)


PART = TrainedPart(
    weights={'text_proj.bias': torch.Size([2]), 'text_layer_weights': torch.Size([3])},
    buffers={FREQUENCIES: torch.Size([2, 2])},
)
WEIGHTS = {'text_proj.bias': torch.tensor([1.0, 2.0]), 'text_layer_weights': torch.tensor([0.5, 0.25, 3.0])}


def statuses(weights):
    return {row.key or row.target: (row.status, row.reason) for row in match_keys(weights, PART)}


def test_frozen_parts_are_dropped_with_a_reason():
    frozen = [
        'llava.language_model.lm_head.weight',
        'module.deepseek_vl.aligner.layers.0.bias',
        'lmm.model.norm.weight',
        'sam.model.image_encoder.pos_embed',
    ]
    rows = match_keys({**WEIGHTS, **dict.fromkeys(frozen, torch.zeros(1))}, PART)
    of_lmm = "of the frozen LMM, which is loaded from the LMM's own checkpoint"
    of_sam = "of SAM's frozen image encoder, which is loaded from SAM's own checkpoint"
    assert [(row.key, row.target, row.status, row.reason) for row in rows[2:]] == [
        *((key, None, 'dropped', of_lmm) for key in frozen[:3]),
        (frozen[3], None, 'dropped', of_sam),
    ]
    assert converted_weights(WEIGHTS, rows[:2], PART).keys() == WEIGHTS.keys()


def test_keys_that_are_missing_unknown_doubled_or_no_numbers():
    weights = {
        'text_proj.bias': torch.zeros(2),
        'module.text_proj.bias': torch.zeros(2),
        'sam.model.mask_decoder.hf_token.weight': torch.zeros(1),
        FREQUENCIES: torch.zeros(2, 2, dtype=torch.long),
    }
    twice = "the file has 'text_proj.bias' twice, with and without 'module.'"
    assert statuses(weights) == {
        'text_proj.bias': ('refused', twice),
        'module.text_proj.bias': ('refused', twice),
        'sam.model.mask_decoder.hf_token.weight': ('refused', 'the model has nothing of that name'),
        FREQUENCIES: ('refused', 'holds torch.int64, expected floating point numbers'),
        'text_layer_weights': ('missing', 'the model trains it'),
    }
    with pytest.raises(
        ValueError, match=r'5 keys do not fit .*text_layer_weights \(3,\): missing, the model trains it'
    ):
        converted_weights(weights, match_keys(weights, PART), PART)


@pytest.mark.parametrize(
    ('numbers', 'dtype'),
    [([1, float('nan')], torch.float32), ([0, float('-inf')], torch.float16), ([1e300, 0], torch.float64)],
)
def test_numbers_that_are_not_finite_are_refused(numbers, dtype):
    weights = {**WEIGHTS, 'text_proj.bias': torch.tensor(numbers, dtype=dtype)}
    assert statuses(weights)['text_proj.bias'] == ('refused', 'holds numbers that are NaN, or infinite in float32')
    with pytest.raises(ValueError, match=r'1 keys do not fit .* text_proj\.bias \(2,\): refused, holds numbers'):
        converted_weights(weights, match_keys(weights, PART), PART)


def test_parameters_become_tensors_and_names_are_printable():
    weights = {key: torch.nn.Parameter(value) for key, value in WEIGHTS.items()}
    converted = converted_weights(weights, match_keys(weights, PART), PART)
    assert not any(value.requires_grad for value in converted.values())
    weights['a\x1b[31m'] = torch.zeros(1)
    with pytest.raises(ValueError, match=re.escape('a\\x1b[31m (1,): refused')):
        converted_weights(weights, match_keys(weights, PART), PART)


def test_a_name_that_only_begins_like_a_frozen_part_is_not_dropped():
    assert statuses({**WEIGHTS, 'llava_next.x': torch.zeros(1)})['llava_next.x'][0] == 'refused'


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_trained_tensors_become_float32_and_constants_stay(dtype):
    weights = {f'module.{key}': value.to(dtype) for key, value in WEIGHTS.items()}
    weights[f'module.{FREQUENCIES}'] = torch.eye(2, dtype=dtype)
    converted = converted_weights(weights, match_keys(weights, PART), PART)
    assert converted[FREQUENCIES].dtype == dtype
    for key, value in WEIGHTS.items():
        torch.testing.assert_close(converted[key], value, rtol=0, atol=0)


def test_slices_of_a_flat_buffer_become_tensors_of_their_own():
    """DeepSpeed's fp32 weights are views of one long tensor, which each would carry along."""
    flat = torch.arange(1000.0)
    weights = {'text_proj.bias': flat[:2], 'text_layer_weights': flat[2:8:2]}
    converted = converted_weights(weights, match_keys(weights, PART), PART)
    assert converted['text_layer_weights'].tolist() == [2.0, 4.0, 6.0]
    assert [value.untyped_storage().nbytes() for value in converted.values()] == [8, 12]
