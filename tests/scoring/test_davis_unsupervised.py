"""The unsupervised task of DAVIS: by hand, and against plain Python that tries every assignment."""

import numpy as np
import pytest
from plain_davis import VOID, plain_unsupervised

from flmm.scoring import LabelledVideo


def scored(pictures, palettes, *, num_labels=None):
    """J and F, [A, G] each, of label pictures [F, A, H, W] and palettes [F, H, W]."""
    pictures, palettes = np.asarray(pictures), np.asarray(palettes)
    video = LabelledVideo(
        num_pictures=pictures.shape[1],
        num_labels=num_labels or int(pictures.max()),
        num_objects=int(palettes[0][palettes[0] != VOID].max()),
    )
    for labels, objects in zip(pictures, palettes, strict=True):
        video.add(labels, objects, ignored=objects == VOID)
    return video.scores()


def strips(*values, height=20, width=10):
    """A picture of strips below each other."""
    return np.repeat(np.array(values), height, axis=0)[:, None].repeat(width, axis=1)


def test_labels_are_matched_to_objects_by_the_mean_over_frames():
    """Rightly drawn under swapped labels: all is found. By themselves, the expressions would have found nothing."""
    palettes = [strips(0, 1, 0, 2, 0), strips(1, 0, 2, 0, 0)]
    swapped = [np.select([palette == 1, palette == 2], [2, 1]) for palette in palettes]
    for found in scored(np.stack([palettes, swapped], axis=1), palettes):
        assert found.tolist() == [[1, 1], [1, 1]]
    # Labels that change places from frame to frame are one object each all the same: half of the frames are right.
    region, contour = scored(np.stack([palettes[0], swapped[1]])[:, None], palettes)
    assert region.tolist() == [[0.5, 0.5]]
    assert contour.tolist() == [[0.5, 0.5]]


def test_a_missing_label_scores_nothing_but_where_its_object_is_not_there():
    palettes = [strips(1, 0, 2, 0), strips(1, 0, 0, 0), strips(1, 0, 0, 0), strips(1, 0, 2, 0)]
    one = [strips(1, 0, 0, 0)] * 4
    for found in scored(np.stack(one)[:, None], palettes, num_labels=2):
        assert found.tolist() == [[1, 0.5]]
    nothing = np.zeros((4, 1, *palettes[0].shape), dtype=int)
    for found in scored(nothing, palettes, num_labels=2):
        assert found.tolist() == [[0, 0.5]]


def test_labels_above_the_last_that_is_drawn_take_no_part():
    """One object, in the first frame alone: a label that is wrong everywhere gets 0, one of no pixel would get 2/3."""
    palettes = [strips(1, 0, 0, 0), strips(0, 0, 0, 0), strips(0, 0, 0, 0)]
    wrong = strips(0, 0, 0, 1)
    assert scored(np.stack([wrong] * 3)[:, None], palettes, num_labels=2)[0].tolist() == [[0]]
    # but below a label that is drawn, an empty one does
    assert scored(np.stack([2 * wrong] * 3)[:, None], palettes, num_labels=2)[0].tolist() == [[pytest.approx(2 / 3)]]


def test_objects_that_the_first_frame_does_not_reach_are_background():
    palettes = [strips(1, 0, 0, 0), strips(1, 0, 3, 0)]
    region, _ = scored(np.stack(palettes)[:, None], palettes)
    assert region.tolist() == [[1]]


def test_void_pixels_are_in_no_mask():
    """A strip of 20 rows is the object, 20 of void follow, 20 of background; found is all of it."""
    palette = strips(1, VOID, 0)
    found = [strips(1, 1, 1), strips(1, 1, 0), strips(1, 0, 0), strips(0, 1, 0)]
    region, contour = scored(np.stack(found)[None], [palette])
    assert region[:, 0].tolist() == [0.5, 1, 1, 0]
    # cut out of the first picture, void has a contour of its own: rows 19 and 39 of it, of which row 19 is right
    assert contour[:, 0].tolist() == [pytest.approx(2 / 3), 1, 1, 0]
    # a void pixel's label still counts as drawn: label 2 is matched, and label 1 is empty
    assert scored([[strips(0, 2, 0)]], [palette])[0].tolist() == [[0]]


def test_ignored_pixels_are_in_no_mask_whatever_they_show():
    objects, ignored = strips(1, 1, 0), strips(0, 1, 0).astype(bool)
    video = LabelledVideo(num_pictures=2, num_labels=1, num_objects=1)
    video.add(np.stack([strips(1, 0, 0), strips(1, 1, 0)]), objects, ignored=ignored)
    for found in video.scores():
        assert found.tolist() == [[1], [1]]


@pytest.mark.parametrize('seed', range(8))
def test_against_plain_python(seed):
    rng = np.random.default_rng(seed)
    num_objects, num_labels = rng.integers(1, 4, size=2)
    palettes = rng.integers(0, num_objects + 1, size=(3, 7, 9))
    palettes[0, 0, 0] = num_objects
    pictures = np.where(
        rng.random((3, 2, 7, 9)) < 0.4, palettes[:, None], rng.integers(0, num_labels + 1, (3, 2, 7, 9))
    )
    pictures = rng.permutation(max(num_objects, num_labels) + 1)[pictures] if seed % 2 else pictures
    palettes[rng.random(palettes.shape) < 0.15] = VOID
    palettes[0, 0, 0] = num_objects
    palettes[1][palettes[1] == num_objects] = 0  # it is not in that frame
    pictures[2, 1] = 0
    found = scored(pictures, palettes)
    for annotator in range(2):
        expected = plain_unsupervised(pictures[:, annotator].tolist(), palettes.tolist())
        for values, plain in zip(found, expected, strict=True):
            assert values[annotator] == pytest.approx(plain, rel=1e-13)
