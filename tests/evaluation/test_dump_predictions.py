import json

import numpy as np
import pytest
import torch
from predicted_samples import predicted_sample, random_masks
from pycocotools import mask as coco_mask

from flmm.evaluation import DumpPredictions
from flmm.phrase_scores import SOURCES, phrase_scores
from flmm.scoring import read_predictions
from flmm.structures import PhraseInfo


def dumped(samples, path):
    """Dump predictions; return the lines of both files, None where there is no file of truths."""
    dump = DumpPredictions(out_file_path=str(path))
    for sample in samples:
        dump.process({}, [sample])
    assert dump.evaluate(size=len(samples)) == {}
    return [
        [json.loads(line) for line in each.read_text().splitlines()] if each.exists() else None
        for each in (path, path.with_name('out.truth.jsonl'))
    ]


def decoded(mask):
    assert isinstance(mask['counts'], str)
    return coco_mask.decode(mask).astype(bool)


def test_lines(tmp_path):
    samples = [
        predicted_sample(*(random_masks(2, 7, 11, seed=seed) for seed in (0, 1, 2)), kinds=['color', 'size']),
        predicted_sample(
            *(random_masks(1, 7, 11, seed=seed) for seed in (3, 4, 5)),
            dataset_name='testA', sample_idx=1, image_path='other.jpg',
        ),
    ]  # fmt: skip
    predictions, truths = dumped(samples, tmp_path / 'made' / 'out.jsonl')
    expected = [(sample, index) for sample in samples for index in range(sample.num_masks)]
    for prediction, truth, (sample, index) in zip(predictions, truths, expected, strict=True):
        kind = sample.phrase_infos[index].kind
        common = {'test_set': sample.dataset_name, 'image': sample.image_path, 'phrase': f'phrase {index}'}
        common |= {'kind': kind} if kind else {}
        for key, mask in (('coarse', sample.pred_masks > 0), ('refined', sample.sam_pred_masks > 0)):
            np.testing.assert_array_equal(decoded(prediction.pop(key)), mask[index].numpy())
        assert prediction == common
        np.testing.assert_array_equal(decoded(truth.pop('mask')), sample.gt_masks[index].numpy())
        assert truth == common


def test_what_is_said_not_to_be_there(tmp_path):
    masks = random_masks(4, 5, 6)
    refined = masks.clone()
    refined[2] = False
    sample = predicted_sample(masks, masks, refined)
    (plain, _), path = dumped([sample], tmp_path / 'out.jsonl'), tmp_path / 'out.jsonl'
    assert [line['refined'] is None for line in plain] == [False, False, True, False]
    assert not any(line['coarse'] is None or 'exists' in line or 'score' in line for line in plain)

    judged = sample.with_outputs(
        existence=torch.tensor([0.75, 0.25, 0.5, 0.0]), exists=torch.tensor([True, False, True, False])
    )
    lines, _ = dumped([judged], path)
    assert [(line['score'], line['exists']) for line in lines] == [
        (0.75, True), (0.25, False), (0.5, True), (0.0, False),
    ]  # fmt: skip
    for source in ('coarse', 'refined'):
        assert [line[source] is None for line in lines] == [False, True, False, True]
    assert coco_mask.area(lines[2]['refined']) == 0  # said to be there, with no pixel: no contradiction in the file


@pytest.mark.parametrize('coarse_exists', [None, [True, True, False, False, True]], ids=['not judged', 'judged'])
def test_the_file_of_tracked_frames_says_what_the_metrics_score(tmp_path, coarse_exists):
    """Coarse and refined masks have a verdict each, also where the mask is empty in spite of it."""
    truths, coarse, refined = (random_masks(5, 5, 6, seed=seed) for seed in range(3))
    coarse[[0, 2]] = refined[[0, 3]] = False
    sample = predicted_sample(truths, coarse, refined).with_outputs(
        existence=torch.tensor([0.75, 0.25, 0.5, 0.0, 1.0]),
        exists=torch.tensor([True, False, True, False, True]),
        tracked=True,
        coarse_exists=None if coarse_exists is None else torch.tensor(coarse_exists),
    )
    lines, _ = dumped([sample], tmp_path / 'out.jsonl')
    assert [line['exists'] for line in lines] == [True, False, True, False, True]
    assert [line['coarse_exists'] for line in lines] == (coarse_exists or [None] * 5)
    predictions = read_predictions(tmp_path / 'out.jsonl')
    said = [(source, each.says_absent(source)) for source in SOURCES for each in predictions]
    assert said == [(score.source, score.says_absent) for score in phrase_scores(sample)]
    assert [absent for _, absent in said] == [
        *([True, False, True, False, False] if coarse_exists is None else [False, False, True, True, False]),
        *[False, True, False, True, False],
    ]


def test_truths_say_what_is_known(tmp_path):
    masks, ignored = random_masks(3, 5, 6), random_masks(3, 5, 6, seed=1)
    masks[1] = ignored[0] = False
    infos = [PhraseInfo(kind='name', thing=True), PhraseInfo(plural=False), PhraseInfo()]
    sample = predicted_sample(masks, masks, masks).with_outputs(phrase_infos=infos, ignore_masks=ignored)
    predictions, truths = dumped([sample], tmp_path / 'out.jsonl')
    for lines in (predictions, truths):
        assert [line.get('kind') for line in lines] == ['name', None, None]
        assert [line.get('thing') for line in lines] == [True, None, None]
        assert [line.get('plural') for line in lines] == [None, False, None]
    assert [line['mask'] is None for line in truths] == [False, True, False]
    assert ['ignore' in line for line in truths] == [False, True, True]
    np.testing.assert_array_equal(decoded(truths[2]['ignore']), ignored[2].numpy())


def test_samples_split_from_one_item_are_all_written(tmp_path):
    masks = [random_masks(1, 5, 5, seed=seed) for seed in range(3)]
    dump = DumpPredictions(out_file_path=str(tmp_path / 'out.jsonl'))
    dump.process({}, [predicted_sample(*masks, sample_idx=4) for _ in range(3)])
    dump.evaluate(size=1)
    assert [len((tmp_path / name).read_text().splitlines()) for name in ('out.jsonl', 'out.truth.jsonl')] == [3, 3]


def test_without_truth_there_is_no_file_of_truths_and_any_phrase_is_written(tmp_path):
    (tmp_path / 'out.truth.jsonl').write_text('of an earlier test')
    sample = predicted_sample(*(random_masks(1, 5, 5, seed=seed) for seed in range(3)))
    sample.masks = sample.gt_masks = None
    sample.phrases = ['\ud83d 狗 $']
    (line,), truths = dumped([sample], tmp_path / 'out.jsonl')
    assert truths is None
    assert line['phrase'] == '\ud83d 狗 $'
    np.testing.assert_array_equal(decoded(line['refined']), sample.sam_pred_masks[0].numpy() > 0)


def test_other_file_types_are_refused():
    with pytest.raises(ValueError, match=r"out_file_path is 'out.json'; it must end in '.jsonl', as it is JSON lines"):
        DumpPredictions(out_file_path='out.json')


def test_a_place_where_nothing_can_be_written_is_refused_before_the_test(tmp_path):
    (tmp_path / 'file').touch()
    for name in ('folder.jsonl', 'truth.truth.jsonl'):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"out_file_path is '.*file/out\.jsonl', and its folder cannot be made"):
        DumpPredictions(out_file_path=str(tmp_path / 'file' / 'out.jsonl'))
    for name in ('folder.jsonl', 'truth.jsonl'):
        with pytest.raises(ValueError, match=rf"out_file_path is '.*{name}', where no file can be written; choose"):
            DumpPredictions(out_file_path=str(tmp_path / name))
