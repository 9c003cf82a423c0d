"""RefCocoTestSets: which datasets it makes, and what they give."""

import pytest
import torch
from mmengine.registry import DefaultScope
from tiny_refcoco import write_refcoco

from flmm import json_files
from flmm.datasets import RefCOCO2PNG, RefCocoDataset, RefCocoTestSets, collate_grounding, refs_file
from flmm.datasets.refcoco import RefCocoFiles
from flmm.json_files import read_regular_file
from flmm.registry import DATASETS


@pytest.fixture
def files(tmp_path):
    """Of ``tiny_refcoco``: splits train, val, testA, testB over six images."""
    write_refcoco(tmp_path / 'data')
    return {
        'data_root': str(tmp_path / 'data'),
        'data_prefix': {'img_path': 'images'},
        'ann_file': 'refcoco/instances.json',
        'split_file': 'refcoco/refs(unc).p',
        'serialize_data': False,  # mmengine collects garbage for each dataset that it serializes
    }


class Tagged:
    """A step that shows how it was made."""

    def __init__(self, *, concat, independent=True):
        self.concat = concat

    def __call__(self, item):
        return (self.concat, item['dataset_name'], item['img_id'], item['text'], item['sample_idx'])


PIPELINE = [dict, {'type': Tagged}]
IN_ONE_SEQUENCE = [dict, {'type': Tagged, 'independent': False}]


def test_one_dataset_for_each_split_and_protocol(files):
    sets = RefCocoTestSets(name='refcoco', splits=('val', 'testA'), pipeline=PIPELINE, **files)

    assert [(part.name, part.split, part.text_mode, part.test_mode) for part in sets.datasets] == [
        ('refcoco_val_first_sentence', 'val', 'select_first', True),
        ('refcoco_val_every_sentence', 'val', 'original', True),
        ('refcoco_testA_first_sentence', 'testA', 'select_first', True),
        ('refcoco_testA_every_sentence', 'testA', 'original', True),
    ]
    assert [sets[index] for index in range(len(sets))] == [
        (True, 'refcoco_val_first_sentence', 5, ['cat', 'dog'], 0),
        (True, 'refcoco_val_every_sentence', 5, ['cat', 'a cat', 'dog'], 0),
        (True, 'refcoco_testA_first_sentence', 5, ['man', 'hat'], 0),
        (True, 'refcoco_testA_first_sentence', 6, ['she'], 1),
        (True, 'refcoco_testA_every_sentence', 5, ['man', 'the man', 'he', 'hat', 'his hat'], 0),
        (True, 'refcoco_testA_every_sentence', 6, ['she'], 1),
    ]


@pytest.mark.parametrize('protocol', ['first_sentence', 'every_sentence'])
def test_one_protocol(files, protocol):
    sets = RefCocoTestSets(name='plus', splits=['testB'], protocols=[protocol], pipeline=PIPELINE, **files)

    assert [part.name for part in sets.datasets] == [f'plus_testB_{protocol}']
    assert sets[0][0]


@pytest.mark.parametrize('protocol', ['first_sentence', 'every_sentence'])
def test_sentences_that_would_see_each_other_share_a_sample_only_in_f_lmm_s_protocol(files, protocol):
    sets = RefCocoTestSets(name='plus', splits=['testB'], protocols=[protocol], pipeline=IN_ONE_SEQUENCE, **files)

    assert sets[0][0] == (protocol == 'first_sentence')


def test_unknown_protocol_is_refused(files):
    with pytest.raises(
        ValueError, match=r"protocols \['all'\] are unknown, expected some of \['first_sentence', 'every_sentence'\]"
    ):
        RefCocoTestSets(name='refcoco', splits=['val'], protocols=['all', 'first_sentence'], pipeline=PIPELINE, **files)


def test_unknown_split_is_refused(files):
    with pytest.raises(ValueError, match="no sample in split 'testC'"):
        RefCocoTestSets(name='refcoco', splits=['val', 'testC'], pipeline=PIPELINE, **files)


@pytest.mark.parametrize(
    ('pipeline', 'message'),
    [
        ([dict, Tagged(concat=True)], r'pipeline ends in \[<.*Tagged object.*>\], expected the config of RefCOCO2PNG'),
        ([], r'pipeline ends in \[\], expected the config of RefCOCO2PNG, whose concat is chosen here'),
    ],
)
def test_a_last_step_that_is_no_config_is_refused(files, pipeline, message):
    with pytest.raises(ValueError, match=message):
        RefCocoTestSets(name='refcoco', splits=['val'], pipeline=pipeline, **files)


@pytest.mark.parametrize('given', [{}, {'independent': True}, {'independent': False}], ids=str)
def test_both_protocols_through_the_whole_pipeline(files, wrapper, given):
    independent = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', **given).independent
    pipeline = [
        {'type': 'PILLoadImageFromFile'},
        {'type': 'LoadMasks'},
        {'type': 'RefCOCO2PNG', 'image_processor': wrapper, 'prompt': 'Where?', **given},
    ]
    config = {
        'type': 'RefCocoTestSets',
        'name': 'refcoco',
        'splits': ['testA'],
        'pipeline': pipeline,
        **files,
    }
    with DefaultScope.overwrite_default_scope('flmm'):  # as a Runner does
        sets = DATASETS.build(config)

    samples = collate_grounding([sets[index] for index in range(len(sets))])['data_samples']

    first, every = 'refcoco_testA_first_sentence', 'refcoco_testA_every_sentence'
    sentences = [('man', 'name'), ('the man', 'clause'), ('he', 'clause'), ('hat', 'name'), ('his hat', 'clause')]
    groups = [sentences] if independent else [[sentence] for sentence in sentences]
    assert [(s.dataset_name, s.sample_idx, s.phrases, [info.kind for info in s.phrase_infos]) for s in samples] == [
        (first, 0, ['man', 'hat'], ['name', 'name']),
        (first, 1, ['she'], ['name']),
        *((every, 0, [text for text, _ in group], [kind for _, kind in group]) for group in groups),
        (every, 1, ['she'], ['name']),
    ]
    masks = torch.cat([sample.gt_masks for sample in samples[2:-1]])
    assert masks.equal(samples[0].gt_masks[[0, 0, 0, 1, 1]])


def test_each_file_is_read_once_and_not_kept(files, monkeypatch):
    opened = []

    def read(path, *, setting):
        opened.append(setting)
        return read_regular_file(path, setting=setting)

    monkeypatch.setattr(refs_file, 'read_regular_file', read)
    monkeypatch.setattr(json_files, 'read_regular_file', read)

    sets = RefCocoTestSets(name='refcoco', splits=('val', 'testA', 'testB'), pipeline=PIPELINE, **files)

    assert opened == ['split_file', 'ann_file']
    assert not any(isinstance(value, RefCocoFiles) for part in sets.datasets for value in vars(part).values())
    RefCocoDataset(split='val', pipeline=[], **files)
    assert opened == ['split_file', 'ann_file'] * 2  # it may have changed
