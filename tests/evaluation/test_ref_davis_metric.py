"""RefDavisMetric: against plain Python over whole videos, and what it refuses."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plain_davis import plain_merged, plain_unsupervised
from predicted_clips import clip_of
from predicted_samples import predicted_sample
from tiny_clips import clip_transform

from flmm import mask_logits
from flmm.clip_sample import VOID
from flmm.config import read_config
from flmm.datasets import RefVideoDataset
from flmm.evaluation import GroundingMetric, RefDavisMetric, VideoMetric
from flmm.frozen_features import FrozenFeatures
from flmm.mask_logits import MaskLogits
from flmm.phrase_info import PhraseInfo
from flmm.registry import METRICS
from flmm.scoring import format_table

SIZE = (7, 11)
FEATURES = FrozenFeatures(attentions=torch.zeros(1), hidden_states=torch.zeros(1), image_embedding={})
CONFIGS = Path(__file__).parents[2] / 'configs'


def clip(logits, objects, *, number=0, ids=None, exists=None):
    """A clip of predictions, coarse and refined [2, F, M, H, W] float, and palettes [F, H, W] or None."""
    _, num_frames, num_masks, *size = logits.shape
    truth = torch.zeros(num_frames, num_masks, *size, dtype=torch.bool)
    frames = [
        predicted_sample(*masks, dataset_name='davis', sample_idx=number, image_path=f'videos/{number}/{frame:05d}')
        for frame, masks in enumerate(zip(truth, *logits, strict=True))
    ]
    for frame, sample in enumerate(frames):
        sample.phrase_infos = [PhraseInfo(expression_id=id_) for id_ in ids or map(str, range(num_masks))]
        if exists is not None:
            frames[frame] = sample.with_outputs(exists=exists[frame], existence=exists[frame].float())
    made = clip_of(frames, gt_masks=truth, video_path=f'videos/{number}')
    return made.with_outputs(gt_objects=objects)


def random_video(seed, *, num_frames=3, num_objects=2, num_described=2):
    """Logits and palettes with void, of objects of which the last one is not in the second frame."""
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, num_objects + 1, (num_frames, *SIZE))
    logits = rng.normal(-1, 2, (2, num_frames, 4 * num_described, *SIZE))
    for index, frame in itertools.product(range(4 * num_described), range(num_frames)):
        logits[:, frame, index] += 2 * (objects[frame] == (index // 4 + seed) % num_objects + 1)  # of other numbers
    objects[rng.random(objects.shape) < 0.15] = VOID
    objects[0, 0, 0] = num_objects
    objects[1][objects[1] == num_objects] = 0
    return torch.from_numpy(logits), torch.from_numpy(objects.astype(np.uint8))


def expected_metrics(videos, *, verdicts=None):
    """Plain Python, from probabilities in float64 to percent: videos -> the metrics of both sources."""
    found = {}
    for place, source in ((1, 'refined'), (0, 'coarse')):
        by_annotator = [([], []) for _ in range(4)]
        for video, (logits, objects) in enumerate(videos):
            probabilities = logits[place].sigmoid()
            if verdicts is not None:
                probabilities = probabilities * verdicts[video][:, :, None, None]
            for annotator, scores in enumerate(by_annotator):
                pictures = [plain_merged(frame[annotator::4].tolist()) for frame in probabilities]
                for values, more in zip(scores, plain_unsupervised(pictures, objects.tolist()), strict=True):
                    values.extend(more)
        means = 100 * np.array([[np.mean(values) for values in scores] for scores in by_annotator])  # [4, 2]
        region, contour = means.mean(axis=0)
        found |= {
            f'davis/{source}/J&F': (region + contour) / 2,
            f'davis/{source}/J': region,
            f'davis/{source}/F': contour,
        }
        found |= {f'davis/{source}/J&F/annotator_{number}': each.mean() for number, each in enumerate(means)}
    return found


def evaluate(clips, *, num_items=None, **settings):
    metric = METRICS.build({'type': 'RefDavisMetric', **settings})
    for each in clips:
        metric.process({}, [each])
    return metric.evaluate(size=num_items or len(clips))


@pytest.fixture(scope='module')
def videos():
    """Three: as many expressions as objects, fewer, and more."""
    return [
        random_video(0),
        random_video(1, num_objects=3, num_described=1, num_frames=2),
        random_video(2, num_objects=1, num_described=2),
    ]


@pytest.mark.parametrize('chunk', [None, 1, 3 * SIZE[0] * SIZE[1]], ids=['whole', 'one by one', 'three'])
def test_against_plain_python(videos, chunk, monkeypatch):
    """However many masks are looked at together, of items in any order, some of them repeated."""
    if chunk is not None:
        monkeypatch.setattr(mask_logits, 'CHUNK_PIXELS', chunk)
    clips = [clip(*video, number=number) for number, video in enumerate(videos)]
    found = evaluate(clips)
    assert found == pytest.approx(expected_metrics(videos), rel=1e-12)
    assert next(iter(found)) == 'davis/refined/J&F'
    assert found['davis/refined/J&F'] > 20
    assert evaluate([*clips, clips[0]], num_items=3) == found  # a distributed sampler repeats items at the end
    assert evaluate(clips[::-1])['davis/refined/J&F'] == pytest.approx(found['davis/refined/J&F'], rel=1e-14)


def test_a_few_masks_are_brought_to_the_image_at_a_time(videos, monkeypatch):
    monkeypatch.setattr(mask_logits, 'CHUNK_PIXELS', 3 * SIZE[0] * SIZE[1])
    one, seen = clip(*videos[0]), []

    def to_image(small):
        seen.append(len(small))
        return small

    one.grounded = [
        frame.with_outputs(coarse=None, refined=replace(frame.refined, to_image=to_image)) for frame in one.grounded
    ]
    evaluate([one])
    assert seen == [3, 3, 2] * 3


def test_an_expression_that_is_judged_absent_has_no_pixel(videos):
    verdicts = [torch.rand(logits.shape[1:3], generator=torch.Generator().manual_seed(3)) < 0.6 for logits, _ in videos]
    clips = [clip(*video, exists=exists) for video, exists in zip(videos, verdicts, strict=True)]
    assert evaluate(clips) == pytest.approx(expected_metrics(videos, verdicts=verdicts), rel=1e-12)


def test_a_trackers_verdict_is_on_refined_masks_and_they_may_be_alone(videos):
    logits, objects = videos[0]
    one = clip(logits, objects, exists=torch.zeros(logits.shape[1:3], dtype=torch.bool))
    one.grounded = [frame.with_outputs(tracked=True, coarse_exists=~frame.exists) for frame in one.grounded]
    found = evaluate([one])
    plain = expected_metrics(videos[:1])
    assert found['davis/coarse/J&F'] == pytest.approx(plain['davis/coarse/J&F'], rel=1e-12)
    # object 2 is not in one frame of three: nothing said there is right
    assert found['davis/refined/J&F'] == pytest.approx(100 / 6, rel=1e-12)
    one = clip(logits, objects)
    one.grounded = [frame.with_outputs(coarse=None) for frame in one.grounded]
    assert evaluate([one]) == pytest.approx(
        {key: value for key, value in plain.items() if key.startswith('davis/refined')}, rel=1e-12
    )


def test_by_hand():
    """Two annotators find both objects, one of them under swapped labels; one finds one; one has one mask for both."""
    objects = torch.zeros(2, 40, 10, dtype=torch.uint8)
    objects[:, :10], objects[:, 20:30], objects[:, 30:] = 1, 2, VOID
    logits = torch.full((2, 2, 8, 40, 10), -5.0)
    first, second = (objects == 1), (objects == 2)
    for index, where in enumerate([first, second, first, first | second, second, first, objects == 7, objects == VOID]):
        logits[:, :, index][:, where] = 5.0
    logits[:, :, 7, :10] = 2.0  # less sure of the first object than expression 3, which keeps it
    found = evaluate([clip(logits, objects)])
    assert [found[f'davis/refined/J&F/annotator_{number}'] for number in range(3)] == [100, 100, 50]
    # the label of both is best matched to either: J 1/2; of its contours, 10 + 10 rows' worth, half is right
    assert found['davis/refined/J'] == pytest.approx((100 + 100 + 50 + 25) / 4)
    assert found['davis/refined/J&F'] == found['davis/coarse/J&F']


def test_the_surest_expression_has_the_pixel_and_the_first_of_equals():
    """Also where probabilities in float32 are all 1."""
    objects = torch.ones(1, 1, 2, dtype=torch.uint8)
    objects[0, 0, 1] = 2
    logits = torch.zeros(2, 1, 8, 1, 2)
    logits[:, 0, :4, 0], logits[:, 0, 4:, 0] = torch.tensor([30.0, 20.0]), torch.tensor([20.0, 30.0])
    assert evaluate([clip(logits, objects)])['davis/refined/J'] == 100
    logits[:, 0, 4:, 0, 1] = 20.0  # equal: the first expressions have both pixels
    assert evaluate([clip(logits, objects)])['davis/refined/J'] == 25


def test_intervals_draw_videos_and_the_table_shows_what_papers_print(videos):
    clips = [clip(*video, number=number) for number, video in enumerate(videos)]
    found = evaluate(clips, num_bootstrap=50)
    assert found['davis/refined/J&F_low'] < found['davis/refined/J&F'] < found['davis/refined/J&F_high']
    rows = [line.split()[:2] for line in format_table(found).splitlines()]
    assert [row for row in rows if row and row[0] == 'refined'] == [['refined', key] for key in ('J&F', 'J', 'F')]


def test_beside_video_metric_by_a_prefix(videos):
    clips = [clip(*videos[0])]
    found = evaluate(clips)
    other = VideoMetric(prefix='each')
    other.process({}, clips)
    assert not found.keys() & other.evaluate(size=1).keys()


def test_the_config_of_ref_davis_is_scored_by_it():
    config = read_config(CONFIGS / 'qwen' / 'qwen2_5_vl_3b_sam_l_ref_youtube_vos.py', {})
    assert config.val_evaluator == {'type': 'RefDavisMetric'}
    assert config.test_evaluator == {'type': 'RefDavisMetric', 'num_bootstrap': 1000}
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.dataset.has_void
        assert loader.dataset.group_by_video
        assert 'max_expressions' not in loader.dataset
    assert 'has_void' not in config.train_dataloader.dataset


@pytest.mark.parametrize(
    ('ids', 'found'),
    [
        (['0'], "1 expressions in one item, with the ids \\['0'\\]"),
        (['0', '1', '2', '3', '4'], "5 expressions in one item, with the ids \\['0', '1', '2', '3', '4'\\]"),
        (['4', '5', '6', '7'], "4 expressions in one item, with the ids \\['4', '5', '6', '7'\\]"),  # a second item
        (['0', '1', '10', '2'], "4 expressions in one item, with the ids \\['0', '1', '10', '2'\\]"),
        ([None] * 4, '4 expressions in one item, with the ids \\[None'),
    ],
)
def test_videos_in_parts_are_refused(ids, found):
    one = clip(torch.zeros(2, 1, len(ids), *SIZE), torch.ones(1, *SIZE, dtype=torch.uint8), ids=ids)
    with pytest.raises(
        ValueError, match=rf"video 'videos/0' of 'davis' has {found}.* set group_by_video=True of its Ref"
    ):
        RefDavisMetric().process({}, [one])


@pytest.fixture(scope='module')
def ref_davis(tmp_path_factory):
    """The folder of a video of two objects and void, in ReferFormer's layout, and what its dataset is built with."""
    root, rng = tmp_path_factory.mktemp('ref_davis'), np.random.default_rng(0)
    for folder in ('JPEGImages/dogs', 'Annotations/dogs'):
        (root / folder).mkdir(parents=True)
    for name in ('00000', '00001', '00002'):
        palette = rng.choice([0, 1, 2, VOID], size=(60, 90)).astype(np.uint8)
        Image.fromarray(palette).save(root / 'Annotations' / 'dogs' / f'{name}.png')
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(root / f'JPEGImages/dogs/{name}.jpg')
    expressions = {str(index): {'exp': f'dog {index}', 'obj_id': str(1 + index // 4)} for index in range(8)}
    video = {'frames': ['00000', '00001', '00002'], 'expressions': expressions}
    (root / 'meta_expressions.json').write_text(json.dumps({'videos': {'dogs': video}}))
    return {
        'name': 'davis', 'ann_file': str(root / 'meta_expressions.json'), 'fps': 24.0, 'test_mode': True,
        'data_prefix': {'img_path': str(root / 'JPEGImages'), 'mask_path': str(root / 'Annotations')},
        'pipeline': [{'type': 'flmm.LoadVideoMasks'}, clip_transform()], 'serialize_data': False,
    }  # fmt: skip


def rightly_grounded(made):
    """A clip of the dataset whose predictions are its truth, and void, which is everybody's."""
    frames = []
    for number, masks in enumerate(made.gt_masks):
        frame = made.frame_sample(number, features=FEATURES)
        logits = MaskLogits.from_image((masks | frame.ignore_masks).float() * 2 - 1)
        frames.append(frame.with_outputs(coarse=logits, refined=logits))
    return made.with_outputs(grounded=frames)


def test_from_the_files_of_ref_davis(ref_davis):
    dataset = RefVideoDataset(group_by_video=True, has_void=True, **ref_davis)
    right = rightly_grounded(dataset[0])
    for metric in (RefDavisMetric(), VideoMetric(), GroundingMetric()):
        metric.process({}, [right])
        found = metric.evaluate(size=1)
        assert {value for key, value in found.items() if '/refined/' in key} == {100}
        assert next(iter(found)) == ('davis/refined/' + ('mIoU' if isinstance(metric, GroundingMetric) else 'J&F'))


def test_items_of_a_part_of_a_video_are_refused(ref_davis):
    message = (
        r"video '.*dogs' of 'davis' has {} expressions in one item.*group_by_video=True .* without max_expressions"
    )
    by_expression = RefVideoDataset(has_void=True, **ref_davis)
    with pytest.raises(ValueError, match=message.format(1)):
        RefDavisMetric().process({}, [rightly_grounded(by_expression[0])])
    in_parts = RefVideoDataset(group_by_video=True, max_expressions=4, has_void=True, **ref_davis)
    with pytest.raises(ValueError, match=message.format(4)):
        RefDavisMetric().process({}, [rightly_grounded(each) for each in in_parts])


def test_clips_that_it_cannot_score_are_refused(videos):
    logits, objects = videos[0]
    with pytest.raises(
        ValueError, match=r"video 'videos/0' of 'davis' has no palettes, .*set has_void=True and data_pre"
    ):
        RefDavisMetric().process({}, [clip(logits, None)])
    objects = objects.clone()
    objects[0] = VOID * (objects[0] > 1)
    with pytest.raises(
        ValueError, match=r"video 'videos/0' of 'davis' shows no object in its first frame, where DAVIS"
    ):
        RefDavisMetric().process({}, [clip(logits, objects)])
    one = clip(*videos[0])
    with pytest.raises(ValueError, match=r"image 'videos/0/00000' of 'davis' is no video, and RefDavisMetric is for"):
        RefDavisMetric().process({}, one.grounded)
    one.grounded = None
    with pytest.raises(ValueError, match=r"video 'videos/0' has no predicted masks; run the model on it"):
        RefDavisMetric().process({}, [one])
