"""Counts and measures equal those of a hand count; images that train and test sets share are told."""

import re

import pytest
from given_dataset import item, rectangle, target

from flmm.data_check import Problem, Problems, check_images, draw_report, find_sources, format_report
from flmm.data_check.figure import Picture
from flmm.visualization import save_figure


def checked(config, *loaders, limit=100, **settings):
    sources, found = find_sources(config, loaders)
    assert found == []
    problems = Problems(limit=limit)
    return sources, check_images(sources, problems, **settings), problems


@pytest.fixture
def config(dataset_config, picture):
    first, second, third = picture('a.png'), picture('b.jpg'), picture('c.png', height=120, width=80)
    train = [
        item(
            first,
            target(rectangle(40, 30), 'cat', 'cats', kind='name', thing=True),
            target(rectangle(80, 30), 'sky', thing=False),
        ),
        item(third, target(rectangle(40, 12), 'two dogs', ann_id=[3, 4], plural=True, thing=True), size=(120, 80)),
        item(third, target(None, 'unicorn', kind='absent'), size=(120, 80)),
    ]
    val = [item(second, target(rectangle(8, 6), 'x')), item(third, target(rectangle(8, 12), 'y'), size=(120, 80))]
    return {
        'train_dataloader': {'dataset': dataset_config(train, name='mine', text_mode='random')},
        'val_dataloader': {'dataset': dataset_config(val, name='held_out', text_mode='select_first')},
    }


@pytest.mark.parametrize('num_workers', [0, 2])
def test_counts_and_measures(config, num_workers):
    _, (train, val), problems = checked(config, 'train', 'val', num_workers=num_workers)

    assert train.label == 'train/mine'
    assert {name: count for name, count in train.counts.items() if count} == {
        'images': 2,
        'items': 3,
        'phrases': 5,
        'no target': 1,
        'several targets': 1,
        'thing': 3,
        'stuff': 1,
        'plural': 1,
    }
    assert train.kinds == {'name': 2, 'absent': 1}
    assert train.values == {
        'height': [60, 120],
        'width': [80, 80],
        'share': pytest.approx([25.0, 50.0, 5.0]),
        'length': [3, 4, 3, 8, 7],
        'phrases': [3, 2],
        'image_tokens': [6, 12],
    }
    assert val.to_json() == {
        'counts': {**dict.fromkeys(val.counts, 0), 'images': 2, 'items': 2, 'phrases': 2},
        'kinds': {},
        'measures': {
            'image width in px': dict.fromkeys(['least', '5 %', 'median', '95 %', 'most'], 80.0),
            'image height in px': {'least': 60, '5 %': 63, 'median': 90, '95 %': 117, 'most': 120},
            'area of a mask in percent of the image': dict.fromkeys(['least', '5 %', 'median', '95 %', 'most'], 1.0),
            'tokens of a phrase': dict.fromkeys(['least', '5 %', 'median', '95 %', 'most'], 1.0),
            'phrases of an image': dict.fromkeys(['least', '5 %', 'median', '95 %', 'most'], 1.0),
            'image tokens': {'least': 6, '5 %': 6.3, 'median': 9, '95 %': 11.7, 'most': 12},
        },
    }
    assert problems.kept == [
        Problem(
            kind='train and test',
            message="'train/mine' and 'val/held_out' share images: 1; what was trained on is no test",
            datasets=('train/mine', 'val/held_out'),
        )
    ]
    assert (problems.num_errors, problems.num_warnings) == (0, 1)


def test_copies_under_another_name_are_shared_too(config, picture, tmp_path):
    (tmp_path / 'b.jpg').write_bytes((tmp_path / 'a.png').read_bytes())
    for headers_only, count in ((False, 2), (True, 1)):
        _, _, problems = checked(config, 'train', 'val', headers_only=headers_only)
        assert problems.kept[0].message.startswith(f"'train/mine' and 'val/held_out' share images: {count};")


def test_test_sets_may_share_images(config):
    own = config['val_dataloader']['dataset']
    both = {'type': 'ConcatDataset', 'datasets': [own, {**own, 'name': 'held_out_too'}]}
    assert checked({'val_dataloader': {'dataset': both}}, 'val')[2].kept == []


def test_problems_are_bounded_and_counted(dataset_config):
    items = [item(f'{number}.png', target(rectangle(9, 9), 'a')) for number in range(5)]
    _, (summary,), problems = checked({'val_dataloader': {'dataset': dataset_config(items)}}, 'val', limit=2)

    assert [problem.image for problem in problems.kept] == ['0.png', '1.png']
    assert problems.counts == {'image absent': 5}
    assert problems.num_errors == 5
    assert summary.values['width'] == []  # they have not been seen
    assert summary.values['share'] == pytest.approx([81 / 48] * 5)


def test_report_as_text(config, dataset_config):
    broken = dataset_config([item(f'{number}.png', target(None, 'a\n')) for number in range(7)], name='lost')
    _, summaries, problems = checked({**config, 'test_dataloader': {'dataset': broken}}, 'train', 'val', 'test')

    text = format_report(summaries, problems)

    assert [re.sub(' +', ' ', line) for line in text.splitlines()[:4]] == [
        'dataset images items phrases no target several targets thing stuff plural',
        'train/mine 2 3 5 1 1 3 1 1',
        'val/held_out 2 2 2 0 0 0 0 0',
        'test/lost 7 7 7 7 0 0 0 0',
    ]
    assert re.search(r'train/mine +80 \| 80 \| 80 +60 \| 90 \| 120 +5 \| 25 \| 50 +3 \| 4 \| 8 +2 \| 2\.5 \| 3 +', text)
    assert re.search(r'test/lost +- +- +- +1 \| 1 \| 1 +1 \| 1 \| 1 +6 \| 6 \| 6', text)
    assert 'kinds of phrases\n  train/mine: name 2, absent 1\n' in text
    assert "error: image absent (7): the file of an image does not exist\n  test/lost: image '0.png' does not" in text
    assert "image '4.png'" in text
    assert "image '5.png'" not in text
    assert '\n  and 2 more\n' in text
    assert 'warning: train and test (1)' in text
    assert text.endswith('problems found: 7 errors, 1 warnings')


def test_report_as_pictures(config, tmp_path, monkeypatch):
    drawn: list[Picture] = []
    monkeypatch.setattr('flmm.data_check.figure._draw_picture', lambda axis, picture: drawn.append(picture))
    (tmp_path / 'b.jpg').unlink()
    sources, summaries, _ = checked(config, 'train', 'val')

    save_figure(draw_report(sources, summaries), tmp_path / 'report.png')

    assert (tmp_path / 'report.png').read_bytes()[:4] == b'\x89PNG'
    assert [(picture.label, [phrase for phrase, _ in picture.phrases]) for picture in drawn] == [
        ('train/mine', ['cat', 'sky']),
        ('train/mine', ['two dogs']),
    ]  # each image once; the one that is absent is passed over
    (_, cat), (_, sky) = drawn[0].phrases
    assert (cat.sum(), sky.sum()) == (40 * 30, 80 * 30)


@pytest.mark.parametrize('picture_is_there', [True, False])
def test_page_is_drawn_whatever_is_missing(dataset_config, picture, tmp_path, picture_is_there):
    path = picture() if picture_is_there else 'nowhere.png'
    items = [item(path, target(None, 'не $ここ$'), size=None)]
    sources, summaries, _ = checked({'val_dataloader': {'dataset': dataset_config(items)}}, 'val')
    save_figure(draw_report(sources, summaries), tmp_path / 'report.png')
    assert (tmp_path / 'report.png').stat().st_size > 10_000
