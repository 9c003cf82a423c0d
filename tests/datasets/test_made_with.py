import pytest

from flmm.datasets.made_with import CONTENT, MadeWith, backend_args_in, data_roots_in, without_places


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


def test_pictures_keep_their_names_when_their_data_roots_move():
    config = {
        'datasets': [{'data_root': 'data'}, {'data_root': 'data/coco/'}, {'data_root': 'data/'}, {'data_root': ''}]
    }
    roots = data_roots_in(config)
    assert roots == ('data/', 'data/coco/')
    here = MadeWith(settings={}, data_roots=roots)
    there = MadeWith(settings={}, data_roots=('/a/', '/b/'))
    moved = {
        'data/x/1.png': '/a/x/1.png',
        'data/coco//1.png': '/b//1.png',
        'database/1.png': 'database/1.png',
        '/abs/1.png': '/abs/1.png',
    }
    for path, elsewhere in moved.items():
        assert here.path_of(here.name_of(path)) == path
        assert there.path_of(here.name_of(path)) == elsewhere
    both = without_places(config, key='dataset', files={}, data_roots=roots)
    assert [one['data_root'] for one in both['datasets']] == ['<data_root 0>', '<data_root 1>', '<data_root 0>', '']


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
