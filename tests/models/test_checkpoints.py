import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm
from tiny_samples import tiny_batch

from flmm.models.checkpoints import load_trained, read_checkpoint


def saved(path, model, **changes):
    parts = {**model.frozen_parts(), **changes}
    torch.save({'state_dict': model.state_dict(), 'meta': {'frozen_parts': parts}}, path)
    return path


def test_the_trained_part_comes_back(tmp_path):
    source, target = tiny_grounder(seed=3), tiny_grounder(seed=0)
    load_trained(target, saved(tmp_path / 'trained.pth', source))
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


def test_the_trained_part_of_a_saved_grounder_is_a_checkpoint(tmp_path):
    source, target, path = tiny_grounder(seed=3), tiny_grounder(seed=0), tmp_path / 'model.safetensors'
    save_file(source.state_dict(), path, metadata={'frozen_parts': json.dumps(source.frozen_parts())})
    assert read_checkpoint(path)['meta'] == {'frozen_parts': source.frozen_parts()}
    load_trained(target, path)
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key
    with pytest.raises(ValueError, match=r'trained over another merge of tokens \(mean\) than the model has \(max\)'):
        load_trained(tiny_grounder(merge='max'), path)
    for parts, message in (('[1]', r'its frozen_parts are \[1\], expected an object of texts'), ('{', 'is not JSON')):
        save_file(source.state_dict(), path, metadata={'frozen_parts': parts})
        with pytest.raises(ValueError, match=rf"model\.safetensors' cannot be read as plain data.*{message}"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ('change', 'part'),
    [
        (lambda: tiny_grounder('qwen2_vl'), 'LMM'),
        (lambda: with_lmm(tiny_lmm(seed=5)), 'LMM'),
        (lambda: with_other_sam(), 'image encoder of SAM'),
        (lambda: tiny_grounder(heads=[(1, 0)]), 'choice of attention heads'),
        (lambda: tiny_grounder(merge='max'), 'merge of tokens'),
        (lambda: tiny_grounder(coarse_attention='copy'), 'attention of coarse tokens'),
    ],
    ids=['family', 'weights', 'sam', 'heads', 'merge', 'coarse'],
)
def test_a_head_over_other_frozen_parts_is_refused(tmp_path, change, part):
    """All of them would fit: heads are compared where there are equally many, too."""
    source = tiny_grounder(heads=[(1, 2)]) if part.startswith('choice') else tiny_grounder()
    target = change()
    before = copy.deepcopy(target.state_dict())
    path = saved(tmp_path / 'trained.pth', source)
    with pytest.raises(
        ValueError, match=rf'trained over another {part} \(.*\) than the model has \(.*\); build the model'
    ):
        load_trained(target, path)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
    checkpoint = torch.load(path)
    del checkpoint['meta']['frozen_parts']  # on purpose
    torch.save(checkpoint, path)
    load_trained(target, path)


@pytest.mark.parametrize('coarse_attention', ['spread', 'copy'])
def test_a_checkpoint_from_before_coarse_attention_was_compared_is_read(coarse_attention, tmp_path):
    model = tiny_grounder(coarse_attention=coarse_attention)
    parts = model.frozen_parts()
    assert parts.pop('attention of coarse tokens') == coarse_attention
    torch.save({'state_dict': model.state_dict(), 'meta': {'frozen_parts': parts}}, tmp_path / 'old.pth')
    load_trained(model, tmp_path / 'old.pth')


def with_lmm(lmm):
    model = tiny_grounder()
    model.lmm.load_state_dict(lmm.state_dict())
    return model


def with_other_sam():
    model = tiny_grounder()
    with torch.no_grad():
        model.sam.model.image_encoder.pos_embed += 1
    return model


def test_what_is_not_known_is_not_compared(tmp_path, caplog):
    target = tiny_grounder()
    load_trained(target, saved(tmp_path / 'trained.pth', tiny_grounder(seed=1), LMM=None))
    torch.save(tiny_grounder(seed=2).state_dict(), tmp_path / 'bare.pth')
    load_trained(target, tmp_path / 'bare.pth')
    assert torch.equal(target.text_proj.weight, tiny_grounder(seed=2).text_proj.weight)


def test_a_raw_state_dict_with_sams_own_frequencies_loads(tmp_path):
    """F-LMM's files hold this one buffer, which is not trained."""
    source = tiny_grounder(seed=1)
    name = 'sam.model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'
    state = {**source.state_dict(), name: source.get_buffer(name)}
    assert name not in source.state_dict()
    torch.save(state, tmp_path / 'raw.pth')
    target = tiny_grounder(seed=1)
    load_trained(target, tmp_path / 'raw.pth')

    torch.save({**state, name: state[name] + 1}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=f'1 unexpected: {name}'):
        load_trained(target, tmp_path / 'other.pth')


def test_in_half_precision_the_frequencies_are_rounded(tmp_path):
    source, target = tiny_grounder(seed=1), tiny_grounder(seed=0)
    target.sam.load_state_dict(source.sam.state_dict())
    name = 'sam.model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix'
    state = {**source.state_dict(), name: source.get_buffer(name)}
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / 'half.pth')
    load_trained(target, tmp_path / 'half.pth')
    torch.testing.assert_close(target.text_proj.weight, source.text_proj.weight.half().float(), rtol=0, atol=0)


def test_names_of_a_distributed_wrapper(tmp_path):
    source, target = tiny_grounder(seed=3), tiny_grounder(seed=0)
    torch.save({f'module.{key}': value for key, value in source.state_dict().items()}, tmp_path / 'wrapped.pth')
    load_trained(target, tmp_path / 'wrapped.pth')
    assert torch.equal(target.text_proj.weight, source.text_proj.weight)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (torch.zeros(2), 'holds a Tensor, expected a dict of weights'),
        ([1], 'holds a list, expected a dict of weights'),
        ({'state_dict': [1]}, 'holds a list, expected a dict of weights'),
        ({'state_dict': {'text_proj.bias': 3}}, "'text_proj.bias' is a int, expected a tensor"),
        ({'model': {}}, "'model' is a dict, expected a tensor"),
        ({3: torch.zeros(1)}, '3 is no name of a tensor'),
    ],
)
def test_what_holds_no_weights(tmp_path, content, message):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=rf"checkpoint '.*other\.pth'.* {message}"):
        read_checkpoint(tmp_path / 'other.pth')


@pytest.mark.parametrize(
    ('value', 'kind'),
    [
        (torch.eye(3).to_sparse(), r'torch\.sparse_coo, device cpu'),
        (torch.zeros(3, device='meta'), r'torch\.strided, device meta'),
    ],
    ids=['sparse', 'meta'],
)
def test_tensors_that_could_not_be_copied(tmp_path, value, kind):
    torch.save({'state_dict': {'scale': value}}, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=rf"odd\.pth': 'scale' is a tensor of another kind \({kind}\), expected"):
        read_checkpoint(tmp_path / 'odd.pth')


def test_where_a_checkpoint_lies(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save({'scale': torch.ones(1)}, tmp_path / 'weights.pth')
    assert read_checkpoint('~/weights.pth')['state_dict']['scale'] == 1
    with pytest.raises(ValueError, match=r"checkpoint '.*' is a folder, not a file"):
        read_checkpoint(tmp_path)


def test_features_of_another_lmm_are_refused():
    model, samples = tiny_grounder().eval(), tiny_batch()[:1]
    samples[0].features = model.encode(samples)[0]
    samples[0].features.made_by = model.frozen_parts()
    expected = model(samples, mode='predict')[0].sam_pred_masks
    assert torch.isfinite(expected).all()
    with pytest.raises(ValueError, match=r"features of image 'random_1\.jpg' were made by another LMM \(.*\) than the"):
        with_lmm(tiny_lmm(seed=5)).eval()(samples, mode='predict')


def test_copies_share_the_frozen_modules():
    model = tiny_grounder()
    copied = copy.deepcopy(model)
    assert copied.lmm is model.lmm
    assert copied.sam.model.image_encoder is model.sam.model.image_encoder
    assert copied.mask_head is not model.mask_head
    with torch.no_grad():
        copied.text_proj.weight += 1
    assert not torch.equal(copied.text_proj.weight, model.text_proj.weight)
    assert copied.frozen_parts() == model.frozen_parts()
    samples = tiny_batch()[:1]
    expected = model.eval()(samples, mode='predict')[0].pred_masks
    assert torch.equal(copied.eval()(samples, mode='predict')[0].pred_masks, expected)


def test_reading_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint '.*absent\.pth' does not exist"):
        read_checkpoint(tmp_path / 'absent.pth')
