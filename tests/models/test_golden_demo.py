"""The demo's model gives the numbers that it once gave, with weights of a formula and with a stored checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from golden_demo import checkpoint_outputs, golden_outputs
from safetensors.torch import load_file

ARTIFACTS = Path(__file__).parents[1] / 'artifacts'


@pytest.fixture(scope='module')
def found():
    return golden_outputs()


def test_outputs_are_those_of_the_first_wave(found):
    golden = load_file(ARTIFACTS / 'golden_demo.safetensors')
    outputs, _ = found
    assert outputs.keys() == golden.keys()
    for name, expected in golden.items():
        # logits of tens: 1e-5 of them, and 1e-5 of what is near zero
        torch.testing.assert_close(
            outputs[name], expected, rtol=1e-5, atol=1e-5 * max(1, expected.abs().max()), msg=name
        )


def test_old_checkpoints_have_the_keys_and_shapes_of_the_model(found):
    assert found[1] == json.loads((ARTIFACTS / 'golden_demo.json').read_text(encoding='utf-8'))


def test_a_stored_checkpoint_gives_the_masks_that_it_gave():
    golden = load_file(ARTIFACTS / 'golden_checkpoint.safetensors')
    outputs = checkpoint_outputs()

    assert outputs.keys() == golden.keys()
    for name, expected in golden.items():
        # float32: the order of sums moves logits of tens by 1e-4, and with them a pixel at the border of a mask
        limit = 1e-3 if name.endswith('iou') else 1e-3 * max(1, expected.abs().max())
        assert (outputs[name] - expected).abs().max() < limit, name
    ious = torch.cat([golden[f'{number}.refined.iou'] for number in range(3)])
    assert ious.mean() > 0.85  # it is a checkpoint that has learned
