"""Several datasets as one."""

import pytest
from tiny_refcoco import REFS, write_refcoco

from flmm.datasets import JointDataset, RefCocoDataset

PIPELINE = [{'type': 'flmm.PILLoadImageFromFile'}]


@pytest.fixture
def parts(tmp_path):
    write_refcoco(tmp_path)
    files = {
        'type': 'flmm.RefCocoDataset',
        'data_root': str(tmp_path),
        'ann_file': 'refcoco/instances.json',
        'split_file': 'refcoco/refs(unc).p',
        'data_prefix': {'img_path': 'images/'},
    }
    return [{**files, 'split': split, 'name': split} for split in ('train', 'val')]


def test_parts_share_the_pipeline_and_keep_their_names(parts):
    joint = JointDataset(datasets=parts, pipeline=PIPELINE)

    num_train = len({image_id for split, image_id, _ in REFS if split == 'train'})
    assert len(joint) == num_train + 1
    assert [joint[index]['dataset_name'] for index in range(len(joint))] == ['train'] * num_train + ['val']
    assert joint[num_train]['sample_idx'] == 0
    assert joint[0]['image'].size == (84, 56)


def test_a_part_may_have_a_pipeline_of_its_own_or_be_built(parts):
    built = RefCocoDataset(**{key: value for key, value in parts[1].items() if key != 'type'}, pipeline=[])

    joint = JointDataset(datasets=[{**parts[0], 'pipeline': []}, built], pipeline=PIPELINE)

    assert all('image' not in joint[index] for index in range(len(joint)))


def test_tokens_are_counted_part_by_part(parts, monkeypatch):
    counts = {'train': [5, 7, 9, 4], 'val': [3]}
    monkeypatch.setattr(RefCocoDataset, 'num_image_tokens', lambda self: counts[self.name])

    assert JointDataset(datasets=parts, pipeline=PIPELINE).num_image_tokens() == [5, 7, 9, 4, 3]


def test_no_part_is_refused():
    with pytest.raises(ValueError, match='datasets is empty; give one part at least'):
        JointDataset(datasets=[])


def test_parts_of_one_name_are_refused_however_deep(parts):
    refused = r"several parts of datasets have the name 'val', under which their results would be mixed; give each a"
    with pytest.raises(ValueError, match=refused):
        JointDataset(datasets=[*parts, parts[1]], pipeline=PIPELINE)
    with pytest.raises(ValueError, match=refused):
        JointDataset(datasets=[{'type': 'flmm.JointDataset', 'datasets': parts}, parts[1]], pipeline=PIPELINE)

    renamed = JointDataset(datasets=[*parts, {**parts[1], 'name': 'again'}], pipeline=PIPELINE)
    assert renamed.names == ['train', 'val', 'again']


def test_parts_share_what_may_be_left_out(parts):
    joint = JointDataset(datasets=parts, pipeline=PIPELINE, max_skipped=0.1)
    assert [part.max_skipped for part in (joint, *joint.datasets)] == [0.1] * 3
    with pytest.raises(ValueError, match=r'a part of datasets has max_skipped=0\.2, all together 0\.1; set it for all'):
        JointDataset(datasets=[parts[0], {**parts[1], 'max_skipped': 0.2}], pipeline=PIPELINE, max_skipped=0.1)
    with pytest.raises(ValueError, match=r'a part of datasets has max_skipped=0\.2, all together 0\.0; set it for all'):
        JointDataset(datasets=[parts[0], {**parts[1], 'max_skipped': 0.2}], pipeline=PIPELINE)
