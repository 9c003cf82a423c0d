"""An LMM that lies where its device map says. Hooks that move inputs run on a CPU, and on 'meta' for another device."""

from unittest import mock

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from tiny_grounder import LOSSES, tiny_grounder
from tiny_models import tiny_lmm, tiny_sam
from tiny_samples import tiny_batch

from flmm.models import FrozenQwenSAM, SAMWrapper, pretrained_lmm
from flmm.models.lmm_placement import keep_placement

PARTS = {
    'model.visual': 'cpu',
    'model.language_model.embed_tokens': 'cpu',
    'model.language_model.layers.0': 'cpu',
    'model.language_model.layers.1': 'cpu',
    'model.language_model.norm': 'cpu',
    'model.language_model.rotary_emb': 'cpu',
    'lm_head': 'cpu',
}


def make_model(lmm):
    torch.manual_seed(0)
    mask_head = {'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16}
    return FrozenQwenSAM(lmm=lmm, mask_head=mask_head, sam=SAMWrapper(sam=tiny_sam()), **LOSSES).eval()


@pytest.fixture
def placed():
    """An LMM as transformers leaves one that it has laid onto several devices."""
    lmm = tiny_lmm()
    for name in PARTS:
        add_hook_to_module(lmm.get_submodule(name), AlignDevicesHook(execution_device='cpu'))
    lmm.hf_device_map = PARTS
    assert 'forward' in vars(lmm.model.language_model.layers[1])  # accelerate's
    keep_placement(lmm)
    return lmm


def test_masks_are_those_of_an_lmm_in_one_place(placed):
    moved = []
    samples = tiny_batch()
    expected = tiny_grounder().eval()(samples, mode='predict')
    with mock.patch(
        'flmm.models.lmm_placement._moved', side_effect=lambda value, device: moved.append(device) or value
    ):
        found = make_model(placed)(samples, mode='predict')
    assert len(moved) > 2 * len(PARTS)  # arguments and keyword arguments of each part that ran
    assert set(moved) == {torch.device('cpu')}
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.mask_attentions, other.mask_attentions)
        assert torch.equal(one.sam_pred_masks, other.sam_pred_masks)


def test_what_a_part_is_called_with_comes_to_its_weights(placed):
    layer = placed.model.language_model.layers[1].mlp.to('meta')
    layer.register_forward_pre_hook(
        placed.model.language_model.layers[0]._forward_pre_hooks.popitem()[1], with_kwargs=True
    )
    assert layer(torch.zeros(1, 3, 32)).device.type == 'meta'


def test_a_model_that_is_moved_leaves_it_where_it_is(placed):
    model = make_model(placed).to(torch.float64)
    assert model.mask_head.conv_seg.weight.dtype == torch.float64
    assert {parameter.dtype for parameter in model.lmm.parameters()} == {torch.float32}


def test_parts_on_the_cpu_beside_a_gpu_are_refused():
    lmm = tiny_lmm()
    lmm.hf_device_map = PARTS | {'model.visual': 0, 'lm_head': 'disk'}
    with pytest.raises(ValueError, match=r"6 of its 7 parts were left on the CPU or on disk, such as 'lm_head'"):
        keep_placement(lmm)


def test_one_of_several_processes_has_no_device_map(monkeypatch):
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.distributed, 'get_world_size', lambda: 2)
    with pytest.raises(ValueError, match="device_map is 'auto' in one of 2 processes"):
        pretrained_lmm(name_or_path='absent', device_map='auto')


def test_a_checkpoint_with_a_device_map(tmp_path):
    saved = tiny_lmm()
    saved.save_pretrained(tmp_path)
    loaded = pretrained_lmm(name_or_path=str(tmp_path), dtype='float32', device_map='cpu')
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in saved.state_dict().items())
    assert loaded.to(torch.float64).dtype == torch.float64  # all of it is in one place


def test_heads_that_are_split_over_processes_are_refused():
    lmm = tiny_lmm()
    with (
        mock.patch.object(type(lmm), 'tp_size', new=2, create=True),
        pytest.raises(ValueError, match=r'split over 2 processes \(tp_plan\).*load it with device_map'),
    ):
        make_model(lmm)
