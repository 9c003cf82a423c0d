import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_models import SAM_256

from flmm.models.sam import build, build_sam, build_small_sam


def test_published_sizes_are_segment_anythings():
    with torch.device('meta'):
        sam = build_sam(model_type='vit_b')

    assert (sam.image_encoder.img_size, sam.prompt_encoder.embed_dim) == (1024, 256)
    assert sum(parameter.numel() for parameter in sam.parameters()) == 93_735_472


def test_checkpoints_of_both_formats_load(tmp_path, monkeypatch):
    torch.manual_seed(1)
    source = build_small_sam(**SAM_256)
    save_file(source.state_dict(), tmp_path / 'sam.safetensors')
    torch.save(source.state_dict(), tmp_path / 'sam.pth')
    monkeypatch.setitem(build.sam_model_registry, 'tiny', lambda: build_small_sam(**SAM_256))
    torch.manual_seed(2)

    loaded = [
        build_small_sam(**SAM_256, checkpoint=tmp_path / 'sam.safetensors'),
        build_sam(model_type='tiny', checkpoint=tmp_path / 'sam.pth'),
    ]

    for sam in loaded:
        assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in sam.state_dict().items())


def test_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    source = build_small_sam(**SAM_256)
    save_file(source.state_dict(), tmp_path / 'sam.safetensors')
    monkeypatch.setenv('HOME', str(tmp_path))
    loaded = build_small_sam(**SAM_256, checkpoint='~/sam.safetensors')
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / 'sam.safetensors'
    weights = build_small_sam(**SAM_256).state_dict()
    del weights['mask_decoder.iou_token.weight']
    weights['extra'] = torch.zeros(1)
    weights['mask_decoder.mask_tokens.weight'] = torch.zeros(4, 7)
    save_file(weights, path)

    with pytest.raises(ValueError, match=r'sam\.safetensors does not fit Sam') as error:
        build_small_sam(**SAM_256, checkpoint=path)

    assert '1 missing: mask_decoder.iou_token.weight' in str(error.value)
    assert '1 unexpected: extra' in str(error.value)
    assert '1 of another shape: mask_decoder.mask_tokens.weight has (4, 7), the model (4, 32)' in str(error.value)


def test_absent_checkpoints_and_unknown_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match='image_size 250 must be a multiple of patch_size 16'):
        build_small_sam(image_size=250)
    with pytest.raises(ValueError, match=r'checkpoint .*none.pth does not exist; download it'):
        build_small_sam(**SAM_256, checkpoint=tmp_path / 'none.pth')
    with pytest.raises(ValueError, match=r"model_type 'vit_x' is unknown; use one of .*'vit_b', 'vit_h', 'vit_l'"):
        build_sam(model_type='vit_x')


def test_checkpoints_cannot_run_code(tmp_path):
    torch.save({'weight': Image.new('RGB', (1, 1))}, tmp_path / 'sam.pth')

    with pytest.raises(ValueError, match=r"sam\.pth' cannot be read .*\(it asks for PIL\.Image\.Image\)$"):
        build_small_sam(**SAM_256, checkpoint=tmp_path / 'sam.pth')
