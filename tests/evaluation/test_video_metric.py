"""VideoMetric and DumpVideoMasks over clips whose frames have masks."""

import json
import re
import shutil
import time

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank
from PIL import Image
from predicted_clips import clip_of
from predicted_samples import predicted_sample, random_masks
from processes import launch_function

from flmm.evaluation import DumpPredictions, DumpVideoMasks, GroundingMetric, VideoMetric
from flmm.phrase_info import PhraseInfo
from flmm.phrase_scores import phrase_scores
from flmm.registry import METRICS
from flmm.rle import decode_masks
from flmm.scoring import contour_accuracy, region_similarity
from flmm.visualization import sample_page

SIZE = (12, 17)


def clip(truth, coarse, refined, *, infos=None, name='val', number=0, exists=None, known=True):
    """A clip of truths and predictions, [F, M, H, W] bool; ``exists``: [F, M] bool."""
    frames = [
        predicted_sample(*masks, dataset_name=name, sample_idx=number, image_path=f'videos/{number}/{frame:05d}')
        for frame, masks in enumerate(zip(truth, coarse, refined, strict=True))
    ]
    for frame, sample in enumerate(frames):
        sample.phrase_infos = infos or sample.phrase_infos
        if exists is not None:
            frames[frame] = sample.with_outputs(exists=exists[frame], existence=exists[frame].float())
    return clip_of(frames, gt_masks=truth if known else None, video_path=f'videos/{number}')


def random_clip(num_frames, num_masks, *, seed, **settings):
    masks = [
        random_masks(num_frames * num_masks, *SIZE, seed=10 * seed + offset).view(num_frames, num_masks, *SIZE)
        for offset in range(3)
    ]
    return clip(*masks, number=seed, **settings), masks


def evaluate(batches, *, num_items, **settings):
    metric = VideoMetric(**settings)
    for batch in batches:
        metric.process({}, batch)
    return metric.evaluate(size=num_items)


def test_means_over_frames_then_over_expressions():
    infos = [PhraseInfo(kind='colour'), PhraseInfo(kind='motion:stops')]
    one, masks = random_clip(3, 2, seed=0, infos=infos)
    other, more = random_clip(5, 1, seed=1, infos=infos[1:])
    found = evaluate([[one], [other]], num_items=2)
    for index, source in ((1, 'coarse'), (2, 'refined')):
        j, f = [], []
        for truth, predicted in ((each[0].numpy(), each[index].numpy()) for each in (masks, more)):
            for phrase in range(truth.shape[1]):
                j.append(
                    np.mean(
                        [region_similarity(p, t) for p, t in zip(predicted[:, phrase], truth[:, phrase], strict=True)]
                    )
                )
                f.append(
                    np.mean(
                        [contour_accuracy(p, t) for p, t in zip(predicted[:, phrase], truth[:, phrase], strict=True)]
                    )
                )
        expected = {'J&F': np.mean([j, f]), 'J': np.mean(j), 'F': np.mean(f), 'J&F/colour': (j[0] + f[0]) / 2}
        expected['J&F/motion'] = expected['J&F/motion:stops'] = np.mean([j[1:], f[1:]])
        assert {key: value for key, value in found.items() if f'/{source}/' in key} == pytest.approx(
            {f'val/{source}/{key}': 100 * value for key, value in expected.items()}, rel=1e-12
        )
    assert next(iter(found)) == 'val/refined/J&F'
    assert len(found) == 12


def test_frames_without_the_object_count():
    """Two frames: found where it is, and nothing said where it is not: 1 and 1. Something said there: 1 and 0."""
    truth = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    truth[0, 0, 2:8, 3:9] = True
    noisy = truth.clone()
    noisy[1, 0, 4, 4] = True
    found = evaluate([[clip(truth, noisy, truth)]], num_items=1)
    assert found == {
        **{f'val/refined/{key}': 100.0 for key in ('J&F', 'J', 'F')},
        **{f'val/coarse/{key}': 50.0 for key in ('J&F', 'J', 'F')},
    }


def test_pixels_that_frames_ignore_are_in_no_mask():
    """Whether something is there is judged by the whole masks all the same."""
    one, (truth, coarse, refined) = random_clip(3, 2, seed=8)
    ignored = random_masks(6, *SIZE, seed=99).view(3, 2, *SIZE)
    one.grounded = [frame.with_outputs(ignore_masks=each) for frame, each in zip(one.grounded, ignored, strict=True)]
    found = evaluate([[one]], num_items=1)
    for source, predicted in (('coarse', coarse), ('refined', refined)):
        pair = (predicted & ~ignored).numpy(), (truth & ~ignored).numpy()
        assert found[f'val/{source}/J'] == pytest.approx(100 * region_similarity(*pair).mean())
        assert found[f'val/{source}/F'] == pytest.approx(100 * contour_accuracy(*pair).mean())
    masks = torch.zeros(1, 2, *SIZE, dtype=torch.bool)
    masks[0, 0, 3:6, 3:6] = True
    hidden = clip(masks, masks, masks)
    hidden.grounded = [frame.with_outputs(ignore_masks=torch.ones_like(masks[0])) for frame in hidden.grounded]
    found = evaluate([[hidden]], num_items=1)
    assert [found[f'val/refined/{key}'] for key in ('J&F', 'T_acc', 'N_acc')] == [100, 100, 100]


def test_an_expression_without_a_target_is_absent_in_every_frame():
    truth, coarse = torch.zeros(2, 2, *SIZE, dtype=torch.bool), torch.zeros(2, 2, *SIZE, dtype=torch.bool)
    truth[0, 0, 2:8, 3:9] = True
    coarse[1, 1, 5, 5] = True
    found = evaluate([[clip(truth, coarse, truth)]], num_items=1)
    assert {key: value for key, value in found.items() if 'acc' in key} == {
        'val/refined/N_acc': 100, 'val/refined/T_acc': 100, 'val/coarse/N_acc': 0, 'val/coarse/T_acc': 0
    }  # fmt: skip


def test_the_verdict_of_a_model_says_whether_it_is_there():
    truth = torch.zeros(2, 2, *SIZE, dtype=torch.bool)
    truth[:, 0, 2:8, 3:9] = True
    everything = torch.ones_like(truth)
    exists = torch.tensor([[False, False], [True, False]])  # the first one in the second frame alone
    found = evaluate([[clip(truth, everything, truth, exists=exists)]], num_items=1)
    assert found['val/refined/N_acc'] == found['val/refined/T_acc'] == found['val/coarse/N_acc'] == 100
    assert found['val/refined/J'] == 50


def test_refined_and_coarse_masks_of_tracked_frames_have_a_verdict_each():
    truth = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    exists = torch.tensor([[False], [False]])
    one = clip(truth, ~truth, ~truth, exists=exists)
    one.grounded = [frame.with_outputs(tracked=True, coarse_exists=~frame.exists) for frame in one.grounded]
    found = evaluate([[one]], num_items=1)
    assert (found['val/refined/N_acc'], found['val/coarse/N_acc']) == (100, 0)
    scores = [score for frame in one.grounded for score in phrase_scores(frame)]
    assert {score.source: score.says_absent for score in scores} == {'coarse': False, 'refined': True}
    page = sample_page(one)
    assert {row.absent for row in page.rows} == {frozenset({'refined', 'truth'})}


def test_a_trackers_masks_are_scored_alone():
    one, masks = random_clip(2, 1, seed=4)
    one.grounded = [sample.with_outputs(coarse=None) for sample in one.grounded]
    found = evaluate([[one]], num_items=1)
    assert found.keys() == {'val/refined/J&F', 'val/refined/J', 'val/refined/F'}
    assert found['val/refined/J'] == pytest.approx(100 * region_similarity(masks[2].numpy(), masks[0].numpy()).mean())


def test_without_truth_there_is_no_metric():
    known, _ = random_clip(2, 1, seed=2)
    unknown, _ = random_clip(2, 1, seed=3, name='test', known=False)
    assert evaluate([[unknown]], num_items=1) == {}
    assert evaluate([[unknown, known]], num_items=2) == evaluate([[known]], num_items=1)


def test_repeated_items_are_cut_off():
    """A distributed sampler repeats items at the end; mmengine cuts the results to the number of items."""
    clips = [random_clip(2, number, seed=number)[0] for number in (1, 2)]
    assert evaluate([[clips[0]], [clips[1]], [clips[0]]], num_items=2) == evaluate([clips], num_items=2)


def test_registered_with_intervals():
    metric = METRICS.build({'type': 'VideoMetric', 'num_bootstrap': 20})
    metric.process({}, [random_clip(2, 2, seed=seed)[0] for seed in (5, 6)])
    found = metric.evaluate(size=2)
    assert found['val/refined/J&F_low'] <= found['val/refined/J&F'] <= found['val/refined/J&F_high']


def test_a_clip_without_masks_is_refused():
    one, _ = random_clip(1, 1, seed=0)
    one.grounded = None
    with pytest.raises(ValueError, match=r"video 'videos/0' has no predicted masks; run the model on it"):
        VideoMetric().process({}, [one])


def test_frames_count_as_pictures_for_other_metrics(tmp_path):
    clips = [random_clip(2, 3, seed=seed) for seed in (0, 1)]
    metric = GroundingMetric()
    metric.process({}, [each for each, _ in clips])
    ious = [
        (masks[2] & masks[0]).sum(dim=(2, 3)) / (masks[2] | masks[0]).sum(dim=(2, 3)) for _, masks in clips
    ]  # [F, M] each
    assert metric.evaluate(size=2)['val/refined/mIoU'] == pytest.approx(100 * float(torch.stack(ious).mean()))
    dump = DumpPredictions(out_file_path=str(tmp_path / 'found.jsonl'))
    dump.process({}, [each for each, _ in clips])
    dump.evaluate(size=2)
    lines = [json.loads(line) for line in (tmp_path / 'found.jsonl').read_text().splitlines()]
    assert [line['image'] for line in lines[::3]] == [f'videos/{n}/{f:05d}' for n in (0, 1) for f in (0, 1)]
    assert np.array_equal(decode_masks([lines[4]['refined']])[0], clips[0][1][2][1, 1].numpy())


def test_masks_on_disk(tmp_path):
    infos = [PhraseInfo(expression_id='0'), PhraseInfo(expression_id='a7')]
    clips = [random_clip(3, 2, seed=seed, infos=infos, known=seed == 0) for seed in (0, 1)]
    metric = METRICS.build({'type': 'DumpVideoMasks', 'out_dir': str(tmp_path / 'masks')})
    metric.process({}, [each for each, _ in clips])
    assert metric.evaluate(size=2) == {}
    folder = tmp_path / 'masks' / 'val' / 'Annotations'
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))
    assert written == [
        f'{number}/{id_}/{frame:05d}.png' for number in (0, 1) for id_ in ('0', 'a7') for frame in range(3)
    ]
    for number, (_, (_, _, refined)) in enumerate(clips):
        for index, id_ in enumerate(('0', 'a7')):
            for frame in range(3):
                with Image.open(folder / str(number) / id_ / f'{frame:05d}.png') as picture:
                    assert picture.mode == 'L'
                    assert np.array_equal(np.asarray(picture), 255 * refined[frame, index].numpy())


def test_masks_of_an_expression_without_a_name_are_refused(tmp_path):
    metric = DumpVideoMasks(out_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"phrase 'phrase 0' of video 'videos/0' has no expression_id"):
        metric.process({}, [random_clip(1, 1, seed=0)[0]])
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=r'out_dir is .*its folder cannot be made'):
        DumpVideoMasks(out_dir=str(tmp_path / 'file'))


def test_masks_of_an_earlier_run_are_not_mixed_with_new_ones(tmp_path):
    def dumped(metric, *ids):
        clip, _ = random_clip(1, len(ids), seed=0, infos=[PhraseInfo(expression_id=id_) for id_ in ids], name='val/u')
        metric.process({}, [clip])

    metric = DumpVideoMasks(out_dir=str(tmp_path / 'masks'))
    dumped(metric, '0', '1')
    dumped(metric, '0', '1')  # a later validation of the same training
    before = sorted(tmp_path.rglob('*.png'))
    folder = tmp_path / 'masks' / 'val%2Fu' / 'Annotations'
    assert before == [folder / '0' / id_ / '00000.png' for id_ in '01']
    message = f'and {str(folder)!r} has files already, which a server would take for masks of this run; remove that'
    with pytest.raises(ValueError, match=re.escape(message)):
        DumpVideoMasks(out_dir=str(tmp_path / 'masks'))
    assert sorted(tmp_path.rglob('*.png')) == before
    shutil.rmtree(folder)
    dumped(DumpVideoMasks(out_dir=str(tmp_path / 'masks')), '2')
    assert list(tmp_path.rglob('*.png')) == [folder / '0' / '2' / '00000.png']


def dump_in_turn(folder):
    """The main process writes at once; the other one comes late, and must not take that for an earlier run's."""
    torch.distributed.init_process_group('gloo')
    if get_rank() == 1:
        time.sleep(0.2)
    metric = DumpVideoMasks(out_dir=str(folder))
    metric.process({}, [random_clip(1, 1, seed=get_rank(), infos=[PhraseInfo(expression_id='0')])[0]])
    torch.distributed.barrier()
    with pytest.raises(ValueError, match='has files already'):
        DumpVideoMasks(out_dir=str(folder))


def test_every_process_knows_whether_there_are_masks_of_an_earlier_run(tmp_path):
    launch_function(2, tmp_path, dump_in_turn, tmp_path / 'masks')
    assert len(list((tmp_path / 'masks').rglob('*.png'))) == 2


@pytest.mark.parametrize('metric', [VideoMetric, DumpVideoMasks])
def test_an_image_is_refused(metric, tmp_path):
    settings = {'out_dir': str(tmp_path)} if metric is DumpVideoMasks else {}
    image = random_clip(1, 1, seed=0)[0].grounded[0]
    with pytest.raises(ValueError, match=rf"image 'videos/0/00000' of 'val' is no video, and {metric.__name__} is for"):
        metric(**settings).process({}, [image])
