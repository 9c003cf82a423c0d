"""What a record holds of a sample. That reading gives what was written is tested in test_dataset.py."""

import json
from dataclasses import fields, replace

import torch

from flmm.features.records import PLAIN_FIELDS, TENSOR_FIELDS, StoredSample, from_record, to_records
from flmm.registry import DATASETS
from flmm.structures import GroundingSample

NOT_READ = {'lmm_inputs', 'image'}
"""What the frozen parts alone read."""
OTHERWISE = {'masks', 'gt_masks', 'features', 'views'}
"""Stored in another form."""
PREDICTED = {'mask_attentions', 'text_embeds', 'pred_masks', 'sam_pred_masks'}


def test_every_field_of_a_sample_is_known():
    stored = [*PLAIN_FIELDS, *TENSOR_FIELDS]
    assert len(stored) == len(set(stored))
    assert {field.name for field in fields(GroundingSample)} == {*stored, *NOT_READ, *OTHERWISE, *PREDICTED}


def test_an_image_embedding_that_samples_share_is_stored_once(config):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    other = replace(sample, features=replace(sample.features, image_embedding=sample.features.image_embedding + 1))
    samples = [StoredSample(item=0, draw=0, is_list=False, sample=one) for one in (sample, sample, other)]
    records, tensors = to_records(samples, dtype='float32')
    assert [record['image_embedding'] for record in records] == [f'{number}.image_embedding' for number in (0, 0, 2)]
    assert sum(name.endswith('image_embedding') for name in tensors) == 2
    for number, (record, stored) in enumerate(zip(json.loads(json.dumps(records)), samples, strict=True)):
        found = from_record({**record, 'number': number}, tensors.__getitem__)
        assert torch.equal(found.features.image_embedding, stored.sample.features.image_embedding)
        assert found.meta_data == stored.sample.meta_data
