import pytest

from flmm.features.settings import CONTENT, backend_args_in, data_roots_in, frozen_part, without_places


def test_places_are_taken_out_of_a_config(tmp_path):
    for name in ('instances.json', 'prompts.txt', 'extra.json'):
        (tmp_path / name).write_text('[]')
    config = {
        'type': 'prompts.txt',  # a name, even where there is such a file
        'data_root': str(tmp_path),
        'ann_file': 'instances.json',
        'split_file': str(tmp_path / 'extra.json'),
        'data_prefix': {'img_path': 'images/', 'captions': 'prompts.txt'},
        'more': ['extra.json', 'red', 3, None],
        'proposal_file': '',
        'pipeline': [{'image_processor': {'pretrained_model_name_or_path': 'owner/name'}}, {'checkpoint': None}],
        'prompt': 'x' * 5000,
    }
    files = {}
    found = without_places(config, key='dataset', files=files, data_roots=data_roots_in(config))
    assert found == {
        'type': 'prompts.txt',
        'data_root': '<data_root 0>',
        'ann_file': CONTENT,
        'split_file': CONTENT,
        'data_prefix': {'img_path': 'images/', 'captions': CONTENT},
        'more': [CONTENT, 'red', 3, None],
        'proposal_file': '',
        'pipeline': [{'image_processor': {'pretrained_model_name_or_path': CONTENT}}, {'checkpoint': None}],
        'prompt': 'x' * 5000,
    }
    assert files == {
        'dataset.ann_file': str(tmp_path / 'instances.json'),
        'dataset.split_file': str(tmp_path / 'extra.json'),
        'dataset.data_prefix.captions': str(tmp_path / 'prompts.txt'),
        'dataset.more.0': str(tmp_path / 'extra.json'),
        'dataset.pipeline.0.image_processor.pretrained_model_name_or_path': 'owner/name',
    }


@pytest.mark.parametrize(('root', 'backend'), [('s3://bucket/coco', None), ('data/coco', 'petrel')])
def test_a_remote_data_root_is_a_setting(root, backend):
    config = {'data_root': root, 'pipeline': [{'backend_args': backend and {'backend': backend}}]}
    roots = data_roots_in(config, backend_args=backend_args_in(config))
    assert roots == ()
    assert without_places(config, key='dataset', files={}, data_roots=roots) == config


def test_file_backends_of_pipelines():
    petrel = {'backend': 'petrel'}
    load, other = {'type': 'Load', 'backend_args': petrel}, {'type': 'Other'}
    assert backend_args_in({'type': 'Own'}) is None
    assert backend_args_in({'pipeline': [{'type': 'Load', 'backend_args': None}, other]}) is None
    assert backend_args_in({'datasets': [{'pipeline': [load, other]}, {'pipeline': [other, load]}]}) == petrel
    assert backend_args_in({'pipeline': [{'type': 'Compose', 'transforms': [load]}]}) == petrel
    for differing in ([load], [{'type': 'Load', 'backend_args': {'backend': 'http'}}]), ([load], [other]):
        with pytest.raises(
            ValueError, match=r"different backend_args, .*'petrel'.*; store the features of each dataset"
        ):
            backend_args_in({'datasets': [{'pipeline': pipeline} for pipeline in differing]})


def test_frozen_part():
    model = {'type': 'M', 'lmm': {'a': 1}, 'mask_head': {}, 'sam': {'sam': {'b': 2}, 'use_text': True}, 'merge': 'max'}
    assert frozen_part(
        {**model, 'padding_cut': 'whole_cells', 'decode_budget': 1, 'loss_iou': {}, 'compiled': {}, 'tracker': {}}
    ) == frozen_part(model)
    assert frozen_part(model) == {'type': 'M', 'lmm': {'a': 1}, 'sam': {'b': 2}, 'merge': 'max'}
