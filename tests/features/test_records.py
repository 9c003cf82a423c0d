"""What a record holds of a sample. That reading gives what was written is tested in test_dataset.py."""

import json
from dataclasses import fields, replace

import torch

from flmm.features.records import PLAIN_FIELDS, TENSOR_FIELDS, StoredSample, from_record, to_records
from flmm.registry import DATASETS
from flmm.structures import GroundingSample, PhraseInfo

NOT_READ = {'lmm_inputs', 'image', 'reading', 'is_video'}
"""What the frozen parts alone read; features are stored of images."""
OTHERWISE = {'masks', 'gt_masks', 'ignore_masks', 'phrase_infos', 'features', 'views'}
"""Stored in another form."""
PREDICTED = {
    'mask_attentions', 'text_embeds', 'coarse', 'refined', 'sam_scores', 'existence', 'exists',
    'tracked', 'coarse_exists',
}  # fmt: skip


def test_every_field_of_a_sample_is_known():
    stored = [*PLAIN_FIELDS, *TENSOR_FIELDS]
    assert len(stored) == len(set(stored))
    assert {field.name for field in fields(GroundingSample)} == {*stored, *NOT_READ, *OTHERWISE, *PREDICTED}


def test_an_image_embedding_that_samples_share_is_stored_once(config):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    shifted = {'image': sample.features.image_embedding['image'] + 1, 'early': torch.ones(2, 3)}
    other = replace(sample, features=replace(sample.features, image_embedding=shifted))
    samples = [StoredSample(item=0, draw=0, is_list=False, sample=one) for one in (sample, sample, other)]
    records, tensors = to_records(samples, dtype='float32')
    shared = {'image': '0.image_embedding.image'}
    own = {'image': '2.image_embedding.image', 'early': '2.image_embedding.early'}
    assert [record['image_embedding'] for record in records] == [shared, shared, own]
    assert {name for name in tensors if 'image_embedding' in name} == {*shared.values(), *own.values()}
    for number, (record, stored) in enumerate(zip(json.loads(json.dumps(records)), samples, strict=True)):
        found = from_record({**record, 'number': number}, tensors.__getitem__)
        torch.testing.assert_close(
            found.features.image_embedding, stored.sample.features.image_embedding, rtol=0, atol=0
        )
        assert found.meta_data == stored.sample.meta_data


def test_what_is_said_of_phrases_and_ignored_comes_back(config):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    ignored = torch.rand(sample.gt_masks.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    infos = [PhraseInfo(kind='name', thing=False), *[PhraseInfo(plural=True)] * (sample.num_masks - 1)]
    told = replace(sample, ignore_masks=ignored, phrase_infos=infos)

    for stored, mask in ((told, ignored), (sample, None)):
        (record,), tensors = to_records([StoredSample(item=0, draw=0, is_list=False, sample=stored)], dtype='float32')
        found = from_record({**json.loads(json.dumps(record)), 'number': 0}, tensors.__getitem__)
        assert found.phrase_infos == stored.phrase_infos
        assert found.ignore_masks is None if mask is None else torch.equal(found.ignore_masks, mask)


def test_how_phrases_are_read_comes_back(config):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    assert sample.independent
    one_text = replace(sample, independent=False)
    longer = replace(one_text, prompt_length=sample.prompt_length - 1)
    for stored in (sample, one_text, longer):
        (record,), tensors = to_records([StoredSample(item=0, draw=0, is_list=False, sample=stored)], dtype='float32')
        found = from_record({**json.loads(json.dumps(record)), 'number': 0}, tensors.__getitem__)
        assert (found.prompt_length, found.independent) == (stored.prompt_length, stored.independent)
        assert [text.tolist() for text in found.texts] == [text.tolist() for text in stored.texts]
