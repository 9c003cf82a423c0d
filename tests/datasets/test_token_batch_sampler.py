"""Bucketing by tokens: what an epoch holds, how much of it is padding, and processes that train together."""

import itertools
import math

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from tiny_models import tiny_processor
from tiny_refcoco import REPOSITORY, write_workspace

from flmm.datasets import QwenImageProcessorWrapper, TokenBatchSampler
from flmm.datasets.token_batch_sampler import token_batches
from flmm.registry import DATASETS


class Counted(list):
    """Items, as a dataset, that are their number of tokens."""

    def num_image_tokens(self):
        return list(self)


def make_sampler(tokens, *, rank=0, world_size=1, epoch=0, shuffle=True, **options):
    sampler = DefaultSampler(Counted(tokens), shuffle=shuffle, seed=3)
    sampler.rank, sampler.world_size, sampler.epoch = rank, world_size, epoch
    return TokenBatchSampler(sampler=sampler, **options)


def random_tokens(count=501, seed=0):
    return np.random.default_rng(seed).integers(50, 1300, count).tolist()


def padding(batches, tokens):
    """Share of the padded batches that is padding."""
    padded = sum(len(batch) * max(tokens[item] for item in batch) for batch in batches)
    return 1 - sum(tokens) / padded


@pytest.mark.parametrize('max_tokens', [None, 4000])
def test_an_epoch_holds_every_item_once_in_batches_of_like_sizes(max_tokens):
    tokens = random_tokens()
    batches = list(make_sampler(tokens, batch_size=8, max_tokens=max_tokens))
    assert sorted(itertools.chain(*batches)) == list(range(501))
    assert max(map(len, batches)) == 8
    assert padding(batches, tokens) < 0.1
    in_order = [list(range(start, min(start + 8, 501))) for start in range(0, 501, 8)]
    assert padding(in_order, tokens) > 0.3
    if max_tokens:
        assert max(len(batch) * max(tokens[item] for item in batch) for batch in batches) <= max_tokens
        assert min(map(len, batches)) < 4  # large images come in smaller batches
    sizes = [tokens[batch[0]] for batch in batches]
    assert sizes != sorted(sizes)


def test_epochs_differ_in_batches_and_order_and_not_in_length():
    tokens = random_tokens()
    epochs = [list(make_sampler(tokens, batch_size=8, max_tokens=5000, epoch=epoch)) for epoch in range(5)]
    assert len({len(batches) for batches in epochs}) == 1
    assert len(epochs[0]) == len(make_sampler(tokens, batch_size=8, max_tokens=5000))
    one, other = ({frozenset(batch) for batch in batches} for batches in epochs[:2])
    assert len(one & other) < len(one) / 4
    again = list(make_sampler(tokens, batch_size=8, max_tokens=5000, epoch=1))
    assert again == epochs[1]


def test_without_shuffling_batches_ascend():
    tokens = random_tokens(40)
    batches = list(make_sampler(tokens, batch_size=4, shuffle=False))
    buckets = [math.ceil(math.log(tokens[item], 1.1)) for item in itertools.chain(*batches)]
    assert buckets == sorted(buckets)
    assert batches == list(make_sampler(tokens, batch_size=4, shuffle=False, epoch=7))


def test_processes_take_batches_of_like_sizes():
    tokens = random_tokens()
    ranks = [list(make_sampler(tokens, batch_size=8, rank=rank, world_size=3)) for rank in range(3)]
    assert len({len(batches) for batches in ranks}) == 1
    items = [item for batches in ranks for batch in batches for item in batch]
    assert set(items) == set(range(501))
    assert len(items) <= 501 + 2 * 8  # the first batches fill the last step
    spread = [
        max(sizes) / min(sizes)
        for sizes in ([max(tokens[item] for item in batch) for batch in step] for step in zip(*ranks, strict=True))
    ]
    assert np.median(spread) < 1.25


@pytest.mark.parametrize(
    ('tokens', 'max_tokens', 'batches'),
    [
        ([40, 100, 60], 100, [[0], [2], [1]]),
        ([100, 100, 100, 50], 200, [[3, 0], [1, 2]]),
        ([1218] * 4, 2436, [[0, 1], [2, 3]]),
        ([97, 100, 98], 200, [[0, 1], [2]]),  # of one bucket: all count as 100
    ],
)
def test_max_tokens_is_reached_and_not_exceeded(tokens, max_tokens, batches):
    assert list(make_sampler(tokens, batch_size=4, max_tokens=max_tokens, shuffle=False)) == batches


def test_an_item_that_alone_is_too_large_is_named():
    with pytest.raises(
        ValueError, match=r'max_tokens is 99, and item 1 alone has 100 image tokens; raise it, .*lower max_pixels'
    ):
        make_sampler([40, 100, 60], batch_size=2, max_tokens=99)


def test_more_processes_than_batches():
    ranks = [list(make_sampler([50, 60], batch_size=2, rank=rank, world_size=5)) for rank in range(5)]
    assert [len(batches) for batches in ranks] == [1] * 5
    assert all(sorted(batches[0]) == [0, 1] for batches in ranks)


def test_several_processes_that_do_not_shuffle_are_refused():
    with pytest.raises(ValueError, match='does not keep the order of items'):
        make_sampler([50, 60], batch_size=2, world_size=2, shuffle=False)


def test_a_dataset_that_does_not_count_is_named():
    with pytest.raises(ValueError, match=r'list has no num_image_tokens\(\)'):
        TokenBatchSampler(sampler=DefaultSampler([1, 2]), batch_size=2)


def test_another_sampler_is_named():
    with pytest.raises(ValueError, match=r"sampler is a InfiniteSampler; TokenBatchSampler reads mmengine's Default"):
        TokenBatchSampler(sampler=InfiniteSampler(Counted([50, 60])), batch_size=2)


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'min_pixels': 100 * 100, 'max_pixels': 200 * 200},
        {'patch_selection_method': 'budget', 'alpha': 0.5},
        {'patch_selection_method': 'budget', 'alpha': (0.2, 0.4)},
        {'patch_selection_method': 'budget', 'alpha': 0.01},
        {'patch_selection_method': 'budget', 'alpha': 0.01, 'max_token_size': 2},
        {'patch_selection_method': 'v2', 'alpha': 1.2},
    ],
)
def test_tokens_counted_by_size_bound_those_of_the_image(settings):
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(), **settings)
    rng = np.random.default_rng(0)
    for height, width in ((448, 336), (200, 310), (57, 400)):
        pixels = np.kron(rng.integers(0, 256, (height // 28 + 1, width // 28 + 1, 3)), np.ones((28, 28, 1)))
        image = Image.fromarray(pixels[:height, :width].astype(np.uint8))
        bound = processor.num_image_tokens(height, width)
        found = processor.preprocess(image, prompt='')
        layout, ((_, rows, columns),) = found.views[0].layout, found.lmm_inputs['image_grid_thw'].tolist()
        if 'alpha' not in settings:
            assert bound == len(layout)
        elif settings['patch_selection_method'] == 'v2':
            assert bound == rows * columns // 4
        else:
            alpha = settings['alpha'] if isinstance(settings['alpha'], float) else settings['alpha'][1]
            assert bound >= round(alpha * rows * columns) // 4
        assert len(layout) <= bound


def test_a_config_trains_on_batches_of_like_sizes(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')
    config = Config.fromfile(write_workspace(tmp_path))
    loader = dict(config.train_dataloader, batch_sampler={'type': 'TokenBatchSampler', 'max_tokens': 40})
    counts = DATASETS.build(loader['dataset']).num_image_tokens()
    assert counts == [6, 6, 16, 8]  # of 56x84, 84x56, 112x112 and 100x70 px
    batches = [
        [len(sample.layout) for sample in batch['data_samples']] for batch in Runner.build_dataloader(loader, seed=0)
    ]
    assert sorted(map(sorted, batches)) == [[6, 6], [8, 16]]

    shortened = {**loader, 'batch_size': 1, 'num_batch_per_epoch': 2}  # mmengine: the first two items
    assert [len(batch['data_samples']) for batch in Runner.build_dataloader(shortened, seed=0)] == [1, 1]
    assert len(Runner.build_dataloader(shortened, seed=0)) == 2


def test_items_of_several_samples_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')
    dataset = Config.fromfile(write_workspace(tmp_path)).train_dataloader.dataset
    dataset.pipeline[-1].concat = False
    with pytest.raises(ValueError, match=r'items that are one sample each: let the pipeline end in RefCOCO2PNG\(conc'):
        DATASETS.build(dataset).num_image_tokens()


def test_an_image_that_is_too_long_to_be_counted_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')
    config = Config.fromfile(write_workspace(tmp_path))
    path = tmp_path / 'data' / 'refcoco' / 'instances.json'
    path.write_text(path.read_text().replace('"height": 84, "width": 56', '"height": 84000, "width": 56'))
    with pytest.raises(ValueError, match=r"image '.*2\.png': absolute aspect ratio must be smaller than 200, got 1500"):
        DATASETS.build(config.train_dataloader.dataset).num_image_tokens()


@pytest.mark.parametrize(
    ('max_tokens', 'batch_size', 'expected'),
    [
        (None, 2, [[3, 1], [0, 2], [4]]),
        (8, 8, [[3, 1], [0, 2], [4]]),
        (12, 8, [[3, 1, 0], [2], [4]]),
        (3, 8, [[3], [1], [0], [2], [4]]),  # each is a batch, however many tokens it has
    ],
)
def test_items_in_order_of_tokens_make_batches(max_tokens, batch_size, expected):
    tokens = [4, 3, 4, 2, 9]
    order = [3, 1, 0, 2, 4]
    assert token_batches(order, tokens, batch_size=batch_size, max_tokens=max_tokens) == expected
    assert token_batches([], tokens, batch_size=batch_size, max_tokens=max_tokens) == []
