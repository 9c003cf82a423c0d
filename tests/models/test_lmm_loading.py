"""Loading the LMM: stock checkpoints, and the random control."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, tiny_lmm

from flmm.models import pretrained_lmm, random_lmm
from flmm.models.published_lmms import published_config
from flmm.pretrained import lmm_from_config


@pytest.mark.parametrize('family', FAMILIES)
def test_a_saved_checkpoint_comes_back_in_the_dtype_asked_for(family, tmp_path):
    saved = tiny_lmm(family)
    saved.save_pretrained(tmp_path)
    state = torch.get_rng_state()
    loaded = pretrained_lmm(name_or_path=str(tmp_path), dtype='float32')
    assert torch.equal(torch.get_rng_state(), state)  # Qwen3.5 draws numbers when it is made
    assert type(loaded) is type(saved)
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in saved.state_dict().items())
    assert pretrained_lmm(name_or_path=str(tmp_path), dtype='bfloat16').dtype == torch.bfloat16


def test_a_checkpoint_without_some_weights_is_refused(tmp_path):
    tiny_lmm().save_pretrained(tmp_path)
    weights = load_file(tmp_path / 'model.safetensors')
    removed = next(key for key in weights if key.endswith('layers.0.mlp.up_proj.weight'))
    save_file({k: v for k, v in weights.items() if k != removed}, tmp_path / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match=r'does not fit Qwen2_5_VL.*missing_keys.*layers\.0\.mlp\.up_proj\.weight'):
        pretrained_lmm(name_or_path=str(tmp_path), dtype='float32')


def test_the_control_has_the_same_shape_and_other_weights(tmp_path):
    saved = tiny_lmm(seed=5)
    saved.save_pretrained(tmp_path)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (random_lmm(name_or_path=str(tmp_path), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    shapes = {key: tensor.shape for key, tensor in saved.state_dict().items()}
    assert {key: tensor.shape for key, tensor in first.state_dict().items()} == shapes
    key = 'model.language_model.layers.0.self_attn.q_proj.weight'
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], saved.state_dict()[key])


def test_unknown_dtype_is_named(tmp_path):
    tiny_lmm().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype is 'half_precision', expected the name of a torch dtype"):
        pretrained_lmm(name_or_path=str(tmp_path), dtype='half_precision')


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs Linux to tell memory of files from its own')
def test_weights_stay_in_the_page_cache(tmp_path):
    """Several processes of a node then have them in memory once."""

    def own_bytes():
        return 1024 * int(re.search(r'RssAnon:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])

    config = published_config('Qwen/Qwen2-VL-2B-Instruct', depth=1, vocab_size=300, image_token_id=298)
    lmm_from_config(config, dtype=torch.bfloat16).save_pretrained(tmp_path)
    before = own_bytes()
    loaded = pretrained_lmm(name_or_path=str(tmp_path), dtype='bfloat16')
    weights = sum(2 * parameter.numel() for parameter in loaded.parameters())
    assert weights > 100e6
    assert own_bytes() - before < 0.2 * weights
