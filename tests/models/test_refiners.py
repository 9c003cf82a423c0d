"""The model over SAM-HQ, SAM 2.1 and EdgeTAM: training, checkpoints, copies and stored features."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny_grounder import tiny_grounder
from tiny_hf_sams import KINDS, tiny_hf_backend
from tiny_samples import tiny_batch

from flmm.features import FeatureStore, MadeWith, StoredSample
from flmm.models.checkpoints import load_trained
from flmm.models.finite import NonFiniteError


def grounder(kind, seed=0):
    return tiny_grounder(sam=tiny_hf_backend(kind, seed), seed=seed)


@pytest.mark.parametrize('kind', KINDS)
def test_a_step_of_training_changes_all_but_the_frozen_parts(kind):
    model = grounder(kind)
    frozen = {'lmm': model.lmm, 'image encoder': model.sam.model.image_encoder}
    before = {name: copy.deepcopy(module.state_dict()) for name, module in frozen.items()}
    trained = copy.deepcopy(model.state_dict())

    sum(model(tiny_batch(), mode='loss').values()).backward()
    torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1.0).step()

    for name, module in frozen.items():
        assert all(torch.equal(value, before[name][key]) for key, value in module.state_dict().items())
        assert not any(each.training for each in module.modules())
    after = model.state_dict()
    for part in ('mask_head', 'text_proj', 'sam.model.prompt_encoder', 'sam.model.mask_decoder'):
        assert any(not torch.equal(after[key], value) for key, value in trained.items() if key.startswith(part)), part


@pytest.mark.parametrize('kind', KINDS)
def test_the_trained_part_comes_back(kind, tmp_path):
    source, target = grounder(kind), grounder(kind)
    with torch.no_grad():
        for parameter in source.parameters():
            if parameter.requires_grad:
                parameter += 0.1
    keys = source.state_dict().keys()
    assert not any(key.startswith(('lmm.', 'sam.model.image_encoder.')) for key in keys)
    assert 'sam.model.mask_decoder.iou_token.weight' in keys
    torch.save({'state_dict': source.state_dict(), 'meta': {'frozen_parts': source.frozen_parts()}}, tmp_path / 'a.pth')

    load_trained(target, tmp_path / 'a.pth')

    samples = tiny_batch()
    pairs = zip(*(model.eval()(samples, mode='predict') for model in (source, target)), strict=True)
    assert all(torch.equal(one.sam_pred_masks, other.sam_pred_masks) for one, other in pairs)


@pytest.mark.parametrize('kind', KINDS)
def test_another_image_encoder_is_noticed(kind, tmp_path):
    source, target = grounder(kind), grounder(kind)
    torch.save({'state_dict': source.state_dict(), 'meta': {'frozen_parts': source.frozen_parts()}}, tmp_path / 'a.pth')
    with torch.no_grad():  # whatever its name
        list(target.sam.model.image_encoder.parameters())[-1] += 1

    with pytest.raises(ValueError, match='trained over another image encoder of SAM'):
        load_trained(target, tmp_path / 'a.pth')


@pytest.mark.parametrize('kind', KINDS)
def test_copies_share_the_image_encoder(kind):
    model = grounder(kind)
    copied = copy.deepcopy(model)

    assert copied.sam.model.image_encoder is model.sam.model.image_encoder
    assert copied.sam.model.mask_decoder is not model.sam.model.mask_decoder
    assert copied.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_stored_features_give_the_same_masks(kind, tmp_path):
    model, samples = grounder(kind).eval(), tiny_batch()
    expected = model(samples, mode='predict')
    carried = [
        replace(sample, features=replace(features, made_by=model.frozen_parts()))
        for sample, features in zip(samples, model.encode(samples), strict=True)
    ]
    store = FeatureStore(tmp_path, made_with=MadeWith(settings={}))
    store.open_to_write(num_images=3)
    to_store = [StoredSample(item=i, draw=0, is_list=False, sample=sample) for i, sample in enumerate(carried)]
    # Two samples of one image share its embedding, which is stored once.
    to_store.append(replace(to_store[0], item=3, sample=replace(carried[0])))

    store.write(0, to_store, pictures={}, dtype='float32')
    read = [store.read(record) for record in store.records()]

    names = [record['image_embedding'] for record in store.records()]
    assert names[0] == {part: f'0.image_embedding.{part}' for part in model.sam.model.embedding_shapes} == names[3]
    for one, other in zip(model(read[:3], mode='predict'), expected, strict=True):
        torch.testing.assert_close(one.sam_pred_masks, other.sam_pred_masks, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_predicting_names_the_image_encoder_whichever_part_is_not_finite(kind):
    model, samples = grounder(kind).eval(), tiny_batch()
    for part in model.sam.model.embedding_shapes:
        (features,) = model.encode(samples[:1])
        features.image_embedding[part] = features.image_embedding[part] * torch.nan
        sample = replace(samples[0], features=features)

        with pytest.raises(NonFiniteError, match=r"image 'random_1\.jpg': SAM's image encoder gave"):
            model([sample], mode='predict')
