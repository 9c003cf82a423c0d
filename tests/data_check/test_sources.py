"""Which datasets of a config are found, whatever wraps them, and that one which fails hides no other."""

import pickle

import pytest
from given_dataset import item, rectangle, target
from mmengine.dataset import BaseDataset
from tiny_refcoco import write_refcoco

from flmm.data_check import Problem, find_sources

ITEMS = [item('a.png', target(rectangle(9, 9), 'red', 'the red one'), target(None, 'blue'))]


def labels(config, *loaders):
    sources, problems = find_sources(config, loaders or ['val'])
    assert problems == []
    return [source.label for source in sources]


def test_loaders_and_names(dataset_config):
    config = {
        'train_dataloader': {'dataset': dataset_config(ITEMS, name='mine')},
        'val_dataloader': {'dataset': dataset_config(ITEMS, name='mine')},
    }
    assert labels(config, 'train', 'val') == ['train/mine', 'val/mine']
    assert labels(config, 'val') == ['val/mine']


def test_what_wraps_datasets_is_looked_into(dataset_config):
    inner = dataset_config(ITEMS)
    pipeline = inner.pop('pipeline')
    named = [{**inner, 'name': name} for name in ('first', 'second')]
    joint = {'type': 'JointDataset', 'datasets': named, 'pipeline': pipeline}
    cached = {'type': 'CachedFeatures', 'folder': 'nowhere', 'model': {}, 'dataset': joint}
    repeated = {'type': 'RepeatDataset', 'times': 3, 'dataset': {**inner, 'pipeline': pipeline}}
    concatenated = {'type': 'ConcatDataset', 'datasets': [repeated, cached]}

    assert labels({'val_dataloader': {'dataset': concatenated}}) == ['val/given', 'val/first', 'val/second']


def test_datasets_of_one_loader_need_names_of_their_own(dataset_config):
    part = dataset_config(ITEMS)
    for joined in ('JointDataset', 'ConcatDataset'):
        config = {'val_dataloader': {'dataset': {'type': joined, 'datasets': [part, part]}}}

        sources, problems = find_sources(config, ['val'])

        assert [source.label for source in sources] == ['val/given', 'val/given (2)']
        message = "several datasets of val are named 'given'; give each a name of its own"
        assert problems == [Problem(kind='dataset', message=message, datasets=('val/given (2)',))]


def test_a_type_that_nobody_has_hides_no_other(dataset_config):
    joint = {'type': 'JointDataset', 'datasets': [{'type': 'Nope', 'name': 'mine'}, dataset_config(ITEMS)]}

    sources, problems = find_sources({'val_dataloader': {'dataset': joint}}, ['val'])

    assert [source.label for source in sources] == ['val/given']
    (problem,) = problems
    assert (problem.kind, problem.datasets) == ('dataset', ('val/mine',))
    assert 'Nope is not in the' in problem.message


def test_a_sampler_by_tokens_needs_the_sizes_of_images(dataset_config):
    for size, expected in (((60, 80), []), (None, ["image 'a.png': its annotation does not say its size"])):
        part = dataset_config([item('a.png', target(None, 'blue'), size=size)])
        config = {'train_dataloader': {'dataset': part, 'batch_sampler': {'type': 'TokenBatchSampler'}}}

        _, problems = find_sources(config, ['train'])

        assert [problem.kind for problem in problems] == ['dataset'] * len(expected)
        assert [problem.message.partition(', by which')[0] for problem in problems] == expected


def test_every_text_that_may_be_drawn_is_given(dataset_config):
    for text_mode, texts in (('random', ['red', 'the red one', 'blue']), ('select_first', ['red', 'blue'])):
        config = {'val_dataloader': {'dataset': dataset_config(ITEMS, text_mode=text_mode)}}
        (source,), _ = find_sources(config, ['val'])
        assert source.dataset.get_data_info(0)['text'] == texts
        assert source.draws_texts == (text_mode == 'random')


def test_other_datasets_and_pipelines_are_named(dataset_config):
    other = {'type': BaseDataset, 'lazy_init': True}
    no_sample = dataset_config(ITEMS)
    no_sample['pipeline'] = no_sample['pipeline'][:2]
    config = {'val_dataloader': {'dataset': {'type': 'ConcatDataset', 'datasets': [other, no_sample]}}}

    sources, problems = find_sources(config, ['val'])

    unknown = 'is no GroundingDataset that ends in RefCOCO2PNG, and no RefVideoDataset that ends in ClipToSample'
    assert sources == []
    assert [(problem.kind, problem.message) for problem in problems] == [
        ('not checked', f'BaseDataset {unknown}'),
        ('not checked', f'Given {unknown}'),
    ]


@pytest.fixture
def refcoco(tmp_path, dataset_config):
    write_refcoco(tmp_path)
    return {
        'type': 'flmm.RefCocoTestSets',
        'name': 'tiny',
        'data_root': str(tmp_path),
        'data_prefix': {'img_path': 'images/'},
        'ann_file': 'refcoco/instances.json',
        'split_file': 'refcoco/refs(unc).p',
        'pipeline': dataset_config([])['pipeline'],
    }


def test_a_split_that_fails_hides_no_other(refcoco):
    config = {'test_dataloader': {'dataset': {**refcoco, 'splits': ['val', 'testC', 'testB']}}}

    sources, problems = find_sources(config, ['test'])

    assert [source.label for source in sources] == [
        f'test/tiny_{split}_{protocol}_sentence' for split in ('val', 'testB') for protocol in ('first', 'every')
    ]
    (problem,) = problems
    assert (problem.kind, problem.datasets) == ('dataset', ('test/tiny_testC',))
    assert "no sample in split 'testC' of" in problem.message


def test_a_dataset_that_fails_hides_no_other(refcoco, dataset_config):
    broken = {**refcoco, 'ann_file': 'refcoco/nowhere.json', 'splits': ['val']}
    joint = {'type': 'ConcatDataset', 'datasets': [broken, dataset_config(ITEMS)]}

    sources, problems = find_sources({'val_dataloader': {'dataset': joint}}, ['val'])

    assert [source.label for source in sources] == ['val/given']
    (problem,) = problems
    assert "nowhere.json' does not exist" in problem.message


def test_what_a_dataset_leaves_out_is_a_warning(refcoco, tmp_path, capsys):
    config = {**refcoco, 'type': 'flmm.RefCocoDataset', 'split': 'val', 'text_mode': 'select_first'}
    refs = tmp_path / 'refcoco' / 'refs(unc).p'
    entries = pickle.loads(refs.read_bytes())
    entries[6]['sentences'].append({'raw': '?'})
    refs.write_bytes(pickle.dumps(entries))

    sources, problems = find_sources({'val_dataloader': {'dataset': {**config, 'skip_wordless': True}}}, ['val'])

    assert len(sources) == 1
    (problem,) = problems
    assert problem == Problem(kind='left out', message=problem.message, datasets=('val',))
    assert problem.message.startswith('tiny: left out 1 wordless sentences of ')
    assert capsys.readouterr().out == ''
