"""Features and positions of images read by a layout, against plain references, on the stock inner models."""

import pytest
import torch
from tiny_adaptive import COARSE, adaptive_lmm, layout_inputs, layouts_of, plain_positions, with_video
from tiny_layouts import random_layout
from tiny_models import FAMILIES, tiny_lmm
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from flmm.apt.layout import TokenLayout
from flmm.qwen.layout_inputs import image_features, position_ids


def learned_position(table, centre, grid_size):
    """[hidden] float64: the square table stretched over the grid of patches, corner on corner, read at one place."""
    side = int(len(table) ** 0.5)
    places = [place * (side - 1) / (size - 1) for place, size in zip(centre, grid_size, strict=True)]
    found = 0
    for row in range(side):
        for column in range(side):
            near = max(0, 1 - abs(places[0] - row)) * max(0, 1 - abs(places[1] - column))
            found = found + near * table[row * side + column].double()
    return found


def plain_features(visual, pixel_values, layouts, window):
    """The blocks of the vision tower over all patches of all images at once, with masks that say who sees whom.

    Returns:
        What stands for the tokens in the text, and what Qwen3-VL adds behind the first text layers.
    """
    centres, image, group = [], [], []
    for index, layout in enumerate(layouts):
        for top, left, size in layout.tokens.tolist():
            for y in range(2):
                for x in range(2):
                    centres.append((2 * top + y * size + (size - 1) / 2, 2 * left + x * size + (size - 1) / 2))
                    image.append(index)
                    group.append((index, top // window, left // window) if window else index)
    same_image = torch.tensor([[a == b for b in image] for a in image])
    same_group = torch.tensor([[a == b for b in group] for a in group])
    hidden, added = visual.patch_embed(pixel_values), []
    if hasattr(visual, 'pos_embed'):
        sides = [[2 * side for side in layouts[index].grid_size] for index in image]
        table = visual.pos_embed.weight
        learned = [learned_position(table, *place) for place in zip(centres, sides, strict=True)]
        hidden = hidden + torch.stack(learned).float()
    cos, sin = visual.rotary_pos_emb(hidden, torch.tensor(centres))
    for index, block in enumerate(visual.blocks):
        allowed = same_group if window and index not in visual.fullatt_block_indexes else same_image
        attention = block.attn
        qkv = attention.qkv(block.norm1(hidden)).unflatten(1, (3, attention.num_heads, -1))
        query, key = apply_rotary_pos_emb_vision(qkv[:, 0], qkv[:, 1], cos, sin)
        scores = torch.einsum('qhd,khd->hqk', query, key) * attention.scaling
        weights = scores.masked_fill(~allowed, float('-inf')).softmax(-1)
        hidden = hidden + attention.proj(torch.einsum('hqk,khd->qhd', weights, qkv[:, 2]).flatten(1))
        hidden = hidden + block.mlp(block.norm2(hidden))
        if index in getattr(visual, 'deepstack_visual_indexes', ()):
            added.append(visual.deepstack_merger_list[len(added)](hidden))
    return visual.merger(hidden), added


def all_features(outputs):
    """What stands for the tokens of each image, and what is added to them behind the first text layers."""
    return [outputs.pooler_output, *(getattr(outputs, 'deepstack_features', None) or [])]


@pytest.mark.parametrize('family', FAMILIES)
def test_features_of_coarse_layouts_equal_the_blocks_with_explicit_masks(family):
    inputs, model = layout_inputs(COARSE, family=family), adaptive_lmm(family)
    layouts = layouts_of(inputs)
    window = 4 if family == 'qwen2_5_vl' else None
    with torch.no_grad():
        tokens, added = plain_features(model.model.visual, inputs['pixel_values'], layouts, window)
        outputs = model.get_image_features(
            inputs['pixel_values'], inputs['image_grid_thw'], image_layout=inputs['image_layout'],
            image_num_tokens=inputs['image_num_tokens'],
        )  # fmt: skip
        of_stock = image_features(tiny_lmm(family).model, inputs['pixel_values'], inputs['image_grid_thw'], layouts)
    assert len(added) == (2 if family == 'qwen3_vl' else 0)
    for found, stock, expected in zip(all_features(outputs), all_features(of_stock), [tokens, *added], strict=True):
        assert [len(part) for part in found] == inputs['image_num_tokens'].tolist()
        torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-5)
        assert all(torch.equal(*pair) for pair in zip(found, stock, strict=True))


@pytest.mark.parametrize('family', ['qwen3_vl', 'qwen3_5'])
def test_learned_positions_are_those_of_the_centres_in_float64(family):
    inputs, model = layout_inputs(COARSE, family=family), tiny_lmm(family).model
    layouts, seen = layouts_of(inputs), []
    model.visual.rotary_pos_emb.register_forward_pre_hook(lambda module, args: seen.extend(args))
    image_features(model, torch.zeros_like(inputs['pixel_values']), inputs['image_grid_thw'], layouts)
    hidden, centres = seen  # what the first block is given: the bias of the embedding and the learned position
    sides = [[2 * side for side in layout.grid_size] for layout in layouts for _ in range(4 * len(layout))]
    table = model.visual.pos_embed.weight
    expected = [learned_position(table, *place) for place in zip(centres.tolist(), sides, strict=True)]
    found = (hidden - model.visual.patch_embed.proj.bias).double()
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-6, rtol=0)
    assert not torch.equal(centres, centres.round())  # a patch of twice the size has its centre between two


@pytest.mark.parametrize('family', FAMILIES)
def test_a_dense_image_beside_a_coarse_one_has_its_stock_features(family):
    inputs, model = layout_inputs([[TokenLayout.dense((5, 6)), COARSE[0][1]]], family=family), tiny_lmm(family).model
    with torch.no_grad():
        expected = model.get_image_features(inputs['pixel_values'][:120], inputs['image_grid_thw'][:1])
        found = image_features(model, inputs['pixel_values'], inputs['image_grid_thw'], layouts_of(inputs))
    for of_layout, of_stock in zip(all_features(found), all_features(expected), strict=True):
        torch.testing.assert_close(of_layout[0], of_stock[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('family', ['qwen3_vl', 'qwen3_5'])
@pytest.mark.parametrize('grid_size', [(1, 1), (5, 6), (24, 3), (41, 2)])
def test_a_dense_image_reads_the_learned_positions_to_the_bit(family, grid_size):
    inputs, model = layout_inputs([[TokenLayout.dense(grid_size)]], family=family), tiny_lmm(family).model
    with torch.no_grad():
        expected = model.get_image_features(inputs['pixel_values'], inputs['image_grid_thw'])
        found = image_features(model, inputs['pixel_values'], inputs['image_grid_thw'], layouts_of(inputs))
    for of_layout, of_stock in zip(all_features(found), all_features(expected), strict=True):
        assert torch.equal(of_layout[0], of_stock[0])


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('padding_side', ['left', 'right'])
@pytest.mark.parametrize('video', [False, True])
def test_positions_equal_a_plain_walk(family, padding_side, video):
    inputs = layout_inputs(COARSE, family=family, padding_side=padding_side)
    others = {}
    if video:
        inputs = with_video(inputs, family=family)
        others = {'video_grid_thw': inputs['video_grid_thw']}
    steps = None
    if video and family == 'qwen2_5_vl':
        others['second_per_grid_ts'] = torch.tensor([1.5])
        steps = [4 * 1.5]  # tokens_per_second is 4
    positions, deltas = position_ids(
        tiny_lmm(family).model,
        inputs['input_ids'],
        attention_mask=inputs['attention_mask'],
        mm_token_type_ids=inputs['mm_token_type_ids'],
        image_grid_thw=inputs['image_grid_thw'],
        layouts=layouts_of(inputs),
        **others,
    )
    expected, expected_deltas = plain_positions(inputs, frame_steps=steps)
    assert torch.equal(positions, expected)
    assert torch.equal(deltas, expected_deltas)
    assert deltas.dtype == torch.long


def test_a_sequence_may_end_with_an_image():
    inputs = layout_inputs([['a', random_layout((4, 4), seed=1)], [random_layout((8, 9), seed=2)]])
    layouts = layouts_of(inputs)
    inputs |= {name: inputs[name][:, :-1] for name in ('input_ids', 'attention_mask', 'mm_token_type_ids')}
    names = ('input_ids', 'attention_mask', 'mm_token_type_ids', 'image_grid_thw')
    positions, deltas = position_ids(tiny_lmm().model, **{name: inputs[name] for name in names}, layouts=layouts)
    expected, expected_deltas = plain_positions(inputs)
    assert torch.equal(positions, expected)
    assert torch.equal(deltas, expected_deltas)


@pytest.mark.parametrize('family', FAMILIES)
def test_text_has_its_dense_positions(family):
    model = tiny_lmm(family).model

    def text_positions(sample):
        inputs = layout_inputs([sample], family=family)
        layouts, mask = layouts_of(inputs), inputs.pop('attention_mask')
        names = ('input_ids', 'mm_token_type_ids', 'image_grid_thw')
        if all(layout.is_dense for layout in layouts):
            positions, deltas = model.get_rope_index(**{name: inputs[name] for name in names})
        else:
            positions, deltas = position_ids(model, **{name: inputs[name] for name in names}, layouts=layouts)
        return positions[:, inputs['mm_token_type_ids'] == 0].float(), deltas + mask.sum()

    dense = [part if isinstance(part, str) else TokenLayout.dense(part.grid_size) for part in COARSE[0]]
    (found, found_next), (expected, expected_next) = text_positions(COARSE[0]), text_positions(dense)
    assert torch.equal(found, expected)
    assert torch.equal(found_next, expected_next)


def test_runs_of_placeholders_must_be_those_of_the_images_one_by_one():
    inputs = layout_inputs(COARSE)
    layouts = layouts_of(inputs)
    swapped = [layouts[1], layouts[0], layouts[2]]
    with pytest.raises(ValueError, match=r'runs of .* image placeholders, the image layouts have'):
        position_ids(
            tiny_lmm().model,
            inputs['input_ids'],
            mm_token_type_ids=inputs['mm_token_type_ids'],
            image_grid_thw=inputs['image_grid_thw'][[1, 0, 2]],
            layouts=swapped,
        )
    with pytest.raises(ValueError, match=r'image_grid_thw is .*, the image layouts lie on grids of'):
        image_features(tiny_lmm().model, inputs['pixel_values'], inputs['image_grid_thw'], swapped)


def test_tokens_larger_than_an_attention_window_are_refused():
    model, inputs = adaptive_lmm(), layout_inputs(COARSE)
    model.config.vision_config.window_size = 56
    with pytest.raises(ValueError, match='does not fit into an attention window of 2x2 units'):
        model(**inputs)
