import io
import logging
import re

import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image
from predicted_clips import clip_of
from predicted_samples import predicted_sample, random_masks

from flmm.engine import visualization_hook
from flmm.registry import HOOKS


def sample_of(dataset_name, sample_idx, *, num_masks=1, image_path='folder/photo.jpg'):
    masks = [random_masks(num_masks, 10, 12, seed=seed) for seed in range(3)]
    return predicted_sample(
        *masks, attentions=torch.rand(num_masks, 2, 2, 2), dataset_name=dataset_name, sample_idx=sample_idx,
        image_path=image_path,
    )  # fmt: skip


def build_hook(out_dir, **options):
    return HOOKS.build({'type': 'VisualizationHook', 'out_dir': str(out_dir), **options})


def run_test(hook, *batches):
    hook.before_test(None)
    for index, samples in enumerate(batches):
        hook.after_test_iter(None, index, {}, samples)
    hook.after_test(None)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*') if path.is_file())


@pytest.fixture
def failing(monkeypatch):
    """Drawing fails for phrases that say so."""

    def draw_page(page):
        if page.rows[0].phrase == 'fail':
            raise RuntimeError('no ink')
        return drawn(page)

    drawn = visualization_hook.draw_page
    monkeypatch.setattr(visualization_hook, 'draw_page', draw_page)


def test_one_picture_for_each_sample_when_all_are_tested(tmp_path):
    shown = tmp_path / 'made' / 'shown'
    hook = build_hook(shown)
    hook.before_test(None)
    hook.after_test_iter(None, 0, {}, [sample_of('val', 3, num_masks=2), sample_of('val', 3)])
    hook.after_test_iter(None, 1, {}, [sample_of('testA', 0, image_path='other.png'), sample_of('val', 4)])
    assert not shown.exists()
    hook.after_test(None)

    assert names(shown) == ['testA/other_0_0.png', 'val/photo_3_0.png', 'val/photo_3_1.png', 'val/photo_4_2.png']
    assert Image.open(shown / 'val' / 'photo_3_0.png').size == (1050, 470)
    assert Image.open(shown / 'val' / 'photo_3_1.png').size == (1050, 235)


def test_at_most_so_many_pictures_for_each_dataset(tmp_path):
    hook = build_hook(tmp_path, max_samples=2)
    batches = [[sample_of('a', index), sample_of('b', index)] for index in range(3)]
    for _ in range(2):  # a second test draws the same
        run_test(hook, *batches)
        assert names(tmp_path) == ['a/photo_0_0.png', 'a/photo_1_1.png', 'b/photo_0_0.png', 'b/photo_1_1.png']


def test_ranks_share_the_number_and_write_different_files(tmp_path, monkeypatch):
    for rank in range(2):
        monkeypatch.setattr(visualization_hook, 'get_dist_info', lambda rank=rank: (rank, 2))
        run_test(build_hook(tmp_path, max_samples=3), [sample_of('a', 0), sample_of('a', 0), sample_of('a', 0)])
    assert names(tmp_path) == ['a/photo_0_0.png', 'a/photo_0_1.png', 'a/photo_0_2.png']


@pytest.mark.parametrize(
    'name', ['../../elsewhere', '/tmp/elsewhere', '..', '.', '', 'a/../../b', 'a\x00b', '\ud83d', 'x' * 999]
)
def test_pictures_stay_in_their_folder_whatever_the_names(name, tmp_path):
    out_dir = tmp_path / 'one' / 'two'
    run_test(build_hook(out_dir), [sample_of(name, 0, image_path=f'folder/{name}.jpg')])
    assert len(names(out_dir)) == 1
    assert [path for path in tmp_path.rglob('*.png') if out_dir not in path.parents] == []
    assert len(list(out_dir.iterdir())) == 1


def test_names_that_look_alike_do_not_meet(tmp_path):
    samples = [
        *(sample_of(name, 0) for name in ('a/b', 'a_b', 'a%2Fb')),
        sample_of('c', 0, image_path='x/1.jpg'),
        sample_of('c', 0, image_path='y/1.png'),
    ]
    run_test(build_hook(tmp_path), samples)
    assert len(names(tmp_path)) == 5


def test_a_sample_that_fails_does_not_stop_the_others(tmp_path, failing):
    samples = [sample_of('val', index, image_path=f'{index}.jpg') for index in range(5)]
    samples[1].phrases = ['fail']  # when it is drawn
    samples[2].image = None  # when it is taken
    samples[3].phrases = ['Ba$$in']
    message = '2 of 5 pictures could not be drawn (the log names them with the reasons), the first is .*2_2_2.png'
    with pytest.raises(ValueError, match=re.escape(message).replace(r'\.\*', '.*')):
        run_test(build_hook(tmp_path), samples)
    assert names(tmp_path) == ['val/0_0_0.png', 'val/3_3_3.png', 'val/4_4_4.png']


def test_the_log_names_what_failed_and_why(tmp_path, failing):
    handler = logging.StreamHandler(io.StringIO())
    MMLogger.get_current_instance().addHandler(handler)
    sample = sample_of('val', 0, image_path='\ud83d.jpg')
    sample.phrases = ['fail']
    with pytest.raises(ValueError, match='1 of 1 pictures'):
        run_test(build_hook(tmp_path), [sample])
    MMLogger.get_current_instance().removeHandler(handler)
    log = handler.stream.getvalue()
    assert r"image '\ud83d.jpg': its picture" in log
    assert 'RuntimeError: no ink' in log


def test_a_clip_has_one_picture(tmp_path):
    frames = [sample_of('val', 2, image_path=f'videos/bird/{frame:05d}') for frame in range(3)]
    run_test(build_hook(tmp_path, max_samples=3), [clip_of(frames, video_path='videos/bird')])
    assert names(tmp_path) == ['val/bird_2_0.png']
