"""How test sets are named, by dataset, split and protocol: datasets give these names, results are laid out by them."""

from typing import NamedTuple

PROTOCOLS = {'first_sentence': 'select_first', 'every_sentence': 'original'}
"""Protocol -> text_mode of the dataset.

'first_sentence' takes the first sentence of each object and puts all objects of an image into one forward (F-LMM);
'every_sentence' takes every sentence by itself (LISA, GLaMM and later work).
"""
TITLES = {
    'refcoco': 'RefCOCO',
    'refcoco_plus': 'RefCOCO+',
    'refcocog': 'RefCOCOg',
    'grefcoco': 'gRefCOCO',
}
"""What papers call a dataset; others are called as their configs do."""


class TestSetName(NamedTuple):
    """The parts of a name; dataset and protocol are empty where the whole name is the split's."""

    __test__ = False  # no test class for pytest

    dataset: str
    split: str
    protocol: str

    @property
    def title(self) -> str:
        """What papers call the dataset."""
        return TITLES.get(self.dataset, self.dataset)


def join_name(dataset: str, split: str, protocol: str) -> str:
    """Name a test set.

    >>> join_name('refcoco_plus', 'testA', 'first_sentence')
    'refcoco_plus_testA_first_sentence'
    """
    return f'{dataset}_{split}_{protocol}'


def split_name(name: str) -> TestSetName:
    """Take a name apart. One that :func:`join_name` did not make is a split of no dataset, under no protocol.

    >>> split_name('refcoco_plus_testA_first_sentence')
    TestSetName(dataset='refcoco_plus', split='testA', protocol='first_sentence')
    >>> split_name('png_val')
    TestSetName(dataset='', split='png_val', protocol='')
    """
    for protocol in PROTOCOLS:
        dataset, separator, split = name.removesuffix(f'_{protocol}').rpartition('_')
        if name.endswith(f'_{protocol}') and separator and dataset and split:
            return TestSetName(dataset, split, protocol)
    return TestSetName('', name, '')
