import gc

import pytest
import torch
from benchmarks.measure import kept_memory, peak_memory
from mmengine.optim import build_optim_wrapper
from tiny_families import FAMILIES, build_grounder, build_wrapper, make_sample
from tiny_grounder import LOSSES
from tiny_models import tiny_lmm
from tiny_samples import tiny_sample

from flmm.memory import PARTS, Load, estimated_bytes, prefix_bytes
from flmm.models import FrozenQwenSAM, LMMWithoutWeights, SAMWrapper
from flmm.models.sam import build_small_sam

CPU = torch.device('cpu')


@pytest.mark.parametrize('model_type', FAMILIES)
def test_what_is_kept_of_image_and_prompt_is_counted_by_the_formula(model_type):
    model = build_grounder(model_type, num_layers=8)
    sample = make_sample(build_wrapper(model_type), ['a'])
    prefix = model.read_image(sample).prefix
    # Key and value in float32, of 2 key heads in 8 layers, 8 wide; Qwen3.5: in the 4 with attention, 16 wide
    assert prefix.num_bytes == 2 * 4 * 2 * 8 * 8 * sample.prompt_length
    assert prefix_bytes(model, sample.prompt_length) == prefix.num_bytes


def test_each_part_is_counted():
    model = build_grounder('qwen2_vl')  # 2 layers of 4 heads and 2 key heads, 32 wide, feed-forward 48
    state = model.state_dict()
    own = sum(value.numel() for value in state.values())
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)

    parts = estimated_bytes(model, Load(tokens=100, phrases=3, batch_size=2))

    assert parts.keys() == PARTS.keys()
    assert parts['lmm'] == sum(4 * each.numel() for each in model.lmm.parameters())
    assert parts['sam'] == sum(4 * each.numel() for each in model.sam.model.image_encoder.parameters())
    assert parts['trained'] == 4 * (own + 3 * trained)
    assert parts['kept'] == 2 * prefix_bytes(model, 100)
    # SAM's embedding is 16 x 8 x 8. Maps of 8 heads; hidden states of 2 layers of 4 tokens, 32 wide.
    assert parts['maps'] == 4 * 2 * 16 * 8**2 + 6 * (4 * 8 * 100 + 2 * 4 * 2 * 32)
    # 16 x 16 cells of the mask head; 64 tokens of SAM, 16 wide
    assert parts['working'] == max(4 * 2 * 64 * 22 * 16, 4 * 6 * (2 * 8 * 16**2 + 36 * 16 * 8**2))


def test_what_a_way_to_run_it_changes():
    model = build_grounder('qwen2_vl')
    one, several, spread, predicting = (
        estimated_bytes(model, Load(tokens=100, phrases=3, **settings))
        for settings in ({}, {'num_gpus': 8}, {'lmm_gpus': 4}, {'training': False})
    )
    trained = 4 * sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert several == one | {'trained': one['trained'] + trained}
    assert spread == one | {'lmm': one['lmm'] / 4, 'kept': one['kept'] / 4}
    assert predicting['trained'] == one['trained'] - 3 * trained
    model.lmm.__class__ = type('Nothing', (LMMWithoutWeights,), {'parameters': lambda _: iter(())})
    stored = estimated_bytes(model, Load(tokens=100, phrases=3))
    assert (stored['lmm'], stored['kept']) == (0, 0)


def test_more_tokens_than_go_together_are_read_in_turn():
    model = build_grounder('qwen2_vl')
    whole, split = (estimated_bytes(model, Load(tokens=number, phrases=1, batch_size=4)) for number in (1024, 2048))
    assert whole['kept'] == split['kept'] == 4 * prefix_bytes(model, 1024)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'tokens': 0}, 'tokens is 0, expected 1 or more'),
        ({'lmm_gpus': 0}, 'lmm_gpus is 0, expected 1 or more'),
        ({'lmm_gpus': 2, 'num_gpus': 2}, 'lmm_gpus is 2 beside 2 processes'),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Load(**{'tokens': 1, 'phrases': 1} | settings)


def test_the_estimate_is_near_the_measured_peak():
    """A training step on a U-Net and SAM wide enough that small tensors beside them do not count."""
    torch.manual_seed(0)
    sizes = {'encoder_embed_dim': 192, 'prompt_embed_dim': 256, 'decoder_num_heads': 8, 'decoder_mlp_dim': 512}
    made = []

    def build():
        sam = SAMWrapper(sam=build_small_sam(image_size=512, **sizes))
        mask_head = {'type': 'flmm.UNetHead', 'base_channels': 64, 'upsample_input': 64}
        model = FrozenQwenSAM(lmm=tiny_lmm(), mask_head=mask_head, sam=sam, **LOSSES)
        optimizer = build_optim_wrapper(model, {'optimizer': {'type': 'AdamW', 'lr': 1e-4}})
        made.append((model, optimizer))

    weights = kept_memory(build, device=CPU)
    model, optimizer = made[0]
    sample = tiny_sample(['a', 'the cat', 'dog', 'red'], size=(256, 256))

    def step():
        optimizer.update_params(sum(model([sample], mode='loss').values()))

    peak = weights + peak_memory(step, device=CPU)  # with gradients and moments, which are made in it
    gc.collect()
    parts = estimated_bytes(model, Load(tokens=sample.prompt_length, phrases=4))
    assert sum(parts.values()) == pytest.approx(peak, rel=0.15), (parts, peak)
