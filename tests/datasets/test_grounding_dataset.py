"""What holds of every dataset: settings that cannot be meant, items that a transform drops, and joined texts."""

import re

import pytest
from given_dataset import Given, item, rectangle, target

from flmm.datasets import Target
from flmm.datasets.item import SkippedItem
from flmm.structures import PhraseInfo

ITEMS = [item('a.png', target(rectangle(9, 9), 'red')), item('b.png', target(rectangle(8, 8), 'blue'))]


def given(items=ITEMS, **settings):
    return Given(**{'items': items, 'name': 'given', 'text_mode': 'original', **settings})


@pytest.mark.parametrize('test_mode', [False, True])
def test_an_item_that_a_transform_drops_is_an_error_and_no_other_item(test_mode):
    dataset = given(pipeline=[lambda results: None if results['img_path'] == 'b.png' else results], test_mode=test_mode)

    assert dataset[0]['text'] == ['red']
    for _ in range(5):
        with pytest.raises(ValueError, match=r"item 1 of 'given' \(image 'b.png'\) became None in the pipeline"):
            dataset[1]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'text_mode': 'random', 'test_mode': True}, "'given' has test_mode=True and text_mode='random'"),
        ({'filter_cfg': {'min_size': 3}}, "'given' has ['filter_cfg'], which would have no effect"),
        ({'max_refetch': 5}, "'given' has ['max_refetch'], which would have no effect"),
        ({'max_skipped': 1}, 'max_skipped is 1, expected a share from 0 to below 1'),
        ({'max_skipped': -0.1}, 'max_skipped is -0.1, expected a share'),
        ({'max_skipped': True}, 'max_skipped is True, expected a share'),
        ({'max_skipped': float('nan')}, 'max_skipped is nan, expected a share'),
        ({'max_skipped': 0.1, 'test_mode': True}, "'given' has test_mode=True and max_skipped=0.1, by which figures"),
        ({'data_prefix': {'img': 'images/'}}, "data_prefix {'img': 'images/'} lacks ['img_path']"),
        (
            {'data_prefix': 'images/'},
            "data_prefix of dataset 'given' is 'images/', expected a dict of folders with ['img",
        ),
        (
            {'data_prefix': {'img_path': ['a']}},
            "data_prefix of dataset 'given' has ['a'] for 'img_path', expected the path of a folder",
        ),
        ({'data_prefix': None}, "data_prefix of dataset 'given' is None, expected a dict of folders"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        given(**settings)


def refusing(error):
    def transform(results):
        if results['img_path'] == 'b.png':
            raise error
        return results

    return transform


def test_an_item_whose_image_an_error_names_may_be_left_out():
    error = ValueError("image 'b.png' cannot be read (truncated); download it again")
    kept, left_out = (given(pipeline=[refusing(error)], max_skipped=0.1)[index] for index in (0, 1))
    assert kept['text'] == ['red']
    assert left_out == SkippedItem(reason=str(error))
    with pytest.raises(ValueError, match='truncated'):
        given(pipeline=[refusing(error)])[1]


@pytest.mark.parametrize(
    'error',
    [ValueError('operands could not be broadcast'), RuntimeError("image 'b.png'"), MemoryError("image 'b.png'")],
)
def test_an_error_that_may_be_of_the_program_is_never_left_out(error):
    with pytest.raises(type(error)):
        given(pipeline=[refusing(error)], max_skipped=0.9)[1]


def test_of_joined_texts_is_said_what_is_said_of_all():
    infos = [PhraseInfo(kind='name', thing=True, plural=True), PhraseInfo(kind='clause', thing=True, plural=True)]
    several = Target(texts=[('two cats', infos[0]), ('cats that sleep', infos[1])], mask=rectangle(9, 9))

    joined = given([item('a.png', several, target(None, 'a dog', kind='name'))], text_mode='concat').get_data_info(0)

    assert joined['text'] == ['two cats cats that sleep', 'a dog']
    assert joined['phrase_infos'] == [PhraseInfo(thing=True, plural=True), PhraseInfo(kind='name')]
    assert [instance['mask'] for instance in joined['instances']] == [rectangle(9, 9), None]


@pytest.mark.parametrize('pipeline', [[], [lambda results: results]])
def test_tokens_are_counted_for_pipelines_that_make_samples(pipeline):
    with pytest.raises(ValueError, match=r'let the pipeline end in RefCOCO2PNG\(concat=True\)'):
        given(pipeline=pipeline).num_image_tokens()
