import json

import numpy as np
import pytest
from predicted_samples import predicted_sample, random_masks
from pycocotools import mask as coco_mask

from flmm.evaluation import DumpPredictions


def test_records(tmp_path):
    size = (7, 11)
    samples = [
        predicted_sample(*(random_masks(2, *size, seed=seed) for seed in (0, 1, 2)), kinds=['color', 'size']),
        predicted_sample(
            *(random_masks(1, *size, seed=seed) for seed in (3, 4, 5)),
            dataset_name='testA', sample_idx=1, image_path='other.jpg',
        ),
    ]  # fmt: skip
    path = tmp_path / 'made' / 'predictions.json'
    dump = DumpPredictions(out_file_path=str(path))
    dump.process({}, samples)

    assert dump.evaluate(size=2) == {}
    records = json.loads(path.read_text())
    expected = [(sample, index) for sample in samples for index in range(sample.num_masks)]
    assert len(records) == len(expected) == 3
    for record, (sample, index) in zip(records, expected, strict=True):
        assert record.keys() == {'dataset_name', 'image_path', 'phrase', 'kind', 'coarse', 'refined'}
        assert record['dataset_name'] == sample.dataset_name
        assert record['image_path'] == sample.image_path
        assert record['phrase'] == f'phrase {index}'
        assert record['kind'] == sample.phrase_infos[index].kind
        truth = sample.gt_masks[index].numpy()
        for source, logits in (('coarse', sample.pred_masks), ('refined', sample.sam_pred_masks)):
            mask = coco_mask.decode(record[source]['mask']).astype(bool)
            np.testing.assert_array_equal(mask, logits[index].numpy() > 0)
            assert record[source]['iou'] == (mask & truth).sum() / (mask | truth).sum()


def test_samples_split_from_one_item_are_all_written(tmp_path):
    masks = [random_masks(1, 5, 5, seed=seed) for seed in range(3)]
    path = tmp_path / 'predictions.json'
    dump = DumpPredictions(out_file_path=str(path))
    dump.process({}, [predicted_sample(*masks, sample_idx=4) for _ in range(3)])
    dump.evaluate(size=1)
    assert len(json.loads(path.read_text())) == 3


def test_without_truth_there_is_no_iou_and_any_phrase_is_written(tmp_path):
    sample = predicted_sample(*(random_masks(1, 5, 5, seed=seed) for seed in range(3)))
    sample.masks = sample.gt_masks = None
    sample.phrases = ['\ud83d 狗 $']
    path = tmp_path / 'predictions.json'
    dump = DumpPredictions(out_file_path=str(path))
    dump.process({}, [sample])
    dump.evaluate(size=1)
    (record,) = json.loads(path.read_text())
    assert record['phrase'] == '\ud83d 狗 $'
    assert record['coarse']['iou'] is record['refined']['iou'] is None
    np.testing.assert_array_equal(coco_mask.decode(record['refined']['mask']), sample.sam_pred_masks[0].numpy() > 0)


def test_other_file_types_are_refused():
    with pytest.raises(ValueError, match=r"out_file_path is 'predictions.pkl'; it must end in '.json', as it is JSON"):
        DumpPredictions(out_file_path='predictions.pkl')


def test_a_place_where_nothing_can_be_written_is_refused_before_the_test(tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.json').mkdir()
    with pytest.raises(ValueError, match=r"out_file_path is '.*file/out\.json', and its folder cannot be made"):
        DumpPredictions(out_file_path=str(tmp_path / 'file' / 'out.json'))
    with pytest.raises(ValueError, match=r"out_file_path is '.*folder\.json', where no file can be written; choose"):
        DumpPredictions(out_file_path=str(tmp_path / 'folder.json'))
