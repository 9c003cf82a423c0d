from flmm.features import MadeWith
from flmm.features.made_with import first_difference
from flmm.features.settings import data_roots_in, without_places


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


def test_first_difference():
    assert first_difference({'a': [1, {'b': 2}], 'c': None}, {'a': [1, {'b': 2}]}) is None
    assert first_difference({'a': {'b': 1, 'c': 2}}, {'a': {'b': 1, 'c': 3}}) == 'a.c (2, not 3)'
    assert first_difference({'a': 1}, {'a': 1, 'b': 0}) == 'b (None, not 0)'
    assert first_difference({'b': 1, 'a': 1}, {'a': 2, 'b': 2}) == 'b (1, not 2)'
    assert first_difference([1, {'x': 'y'}], [1, {'x': 'z'}]) == "1.x ('y', not 'z')"
    assert first_difference([1], [1, 2]) == '([1], not [1, 2])'
