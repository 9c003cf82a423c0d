import pytest

from flmm.datasets.refcoco_test_sets import RefCocoTestSets
from flmm.test_set_names import PROTOCOLS, join_name, split_name


@pytest.mark.parametrize('dataset', ['refcoco', 'refcoco_plus', 'run/1/my_own', 'a'])
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_names_come_apart_as_they_were_joined(dataset, protocol):
    assert split_name(join_name(dataset, 'testA', protocol)) == (dataset, 'testA', protocol)


@pytest.mark.parametrize('name', ['png_val', 'val', 'first_sentence', 'val_first_sentence', '_val_first_sentence', ''])
def test_other_names_stay_whole(name):
    assert split_name(name) == ('', name, '')


def test_titles_of_papers():
    names = [join_name(dataset, 'val', 'every_sentence') for dataset in ('refcoco_plus', 'grefcoco', 'shapes')]
    assert [split_name(name).title for name in names] == ['RefCOCO+', 'gRefCOCO', 'shapes']


def test_protocols_are_those_of_the_test_sets():
    with pytest.raises(
        ValueError, match=r"protocols \['all'\] are unknown, expected some of \['first_sentence', 'every"
    ):
        RefCocoTestSets(name='refcoco', splits=['val'], pipeline=[{}], protocols=['all'])
