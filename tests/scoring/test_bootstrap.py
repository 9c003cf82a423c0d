import time

import numpy as np
import pytest

from flmm.scoring.bootstrap import bootstrap_intervals


def random_ratios(num_images, *, seed=0, per_image=3):
    """mIoU- and cIoU-like ratios, [2, 2, P], and the image of each phrase."""
    rng = np.random.default_rng(seed)
    images = [f'{image}.jpg' for image in range(num_images) for _ in range(per_image)]
    iou = rng.random(len(images))
    union = rng.integers(1, 5000, len(images)).astype(float)
    ratios = np.array([[iou, np.ones_like(iou)], [np.floor(iou * union), union]])
    order = rng.permutation(len(images))
    return ratios[..., order], [images[place] for place in order]


def test_against_drawing_images_one_by_one():
    """Other draws, but of the same distribution: their ends differ by the noise of 4,000 draws alone."""
    ratios, images = random_ratios(60)
    members = {}
    for place, image in enumerate(images):
        members.setdefault(image, []).append(place)
    names = list(members)
    rng = np.random.default_rng(7)
    values = []
    for _ in range(4000):
        drawn = [place for name in rng.choice(names, size=len(names)) for place in members[name]]
        values.append(ratios[:, 0, drawn].sum(axis=1) / ratios[:, 1, drawn].sum(axis=1))
    expected = np.percentile(values, [2.5, 97.5], axis=0).T
    found = bootstrap_intervals(ratios, images, num_draws=4000)
    assert found.shape == (2, 2)
    width = expected[:, 1] - expected[:, 0]
    assert (width > 0.05).all()
    assert np.abs(found - expected).max() < 0.06 * width.min()


def test_of_a_mean_it_is_the_normal_interval():
    ratios, images = random_ratios(400, per_image=1)
    values = ratios[0, 0]
    half = 1.96 * values.std() / np.sqrt(len(values))
    low, high = bootstrap_intervals(ratios, images, num_draws=1000)[0]
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_phrases_of_an_image_stay_together():
    """Ten copies of each phrase say no more than one."""
    ratios, images = random_ratios(30, per_image=1)
    once = bootstrap_intervals(ratios, images, num_draws=300)
    tenfold = bootstrap_intervals(np.repeat(ratios, 10, axis=2), list(np.repeat(images, 10)), num_draws=300)
    np.testing.assert_allclose(tenfold, once, rtol=0, atol=1e-8)


def test_the_order_of_phrases_changes_no_digit():
    ratios, images = random_ratios(50)
    order = np.random.default_rng(3).permutation(len(images))
    shuffled = bootstrap_intervals(ratios[..., order], [images[place] for place in order], num_draws=200)
    np.testing.assert_array_equal(shuffled, bootstrap_intervals(ratios, images, num_draws=200))


def test_of_two_images_it_goes_from_the_worse_to_the_better():
    """A quarter of the draws has the one twice, a quarter the other: both quantiles lie there."""
    ratios = np.array([[[0.25, 0.5, 0.75], [1, 1, 1]], [[1, 2, 9], [4, 4, 10]]])
    found = bootstrap_intervals(ratios, ['a', 'a', 'b'], num_draws=1000)
    assert found.tolist() == [[0.375, 0.75], [0.375, 0.9]]
    np.testing.assert_array_equal(found, bootstrap_intervals(ratios, ['a', 'a', 'b'], num_draws=1000))


def test_a_single_image_has_no_interval():
    ratios, _ = random_ratios(2)
    assert np.isnan(bootstrap_intervals(ratios, ['a.jpg'] * ratios.shape[2], num_draws=10)).all()


@pytest.mark.filterwarnings('error')
def test_an_undefined_ratio_has_no_interval_and_draws_that_lack_a_denominator_say_nothing():
    """The second ratio counts in one image of three; a third of the draws do not have it."""
    ratios = np.array([[[0.0, 0, 0], [0, 0, 0]], [[0.5, 0, 0], [1, 0, 0]], [[1.0, 1, 1], [1, 1, 1]]])
    found = bootstrap_intervals(ratios, ['a', 'b', 'c'], num_draws=100)
    assert np.isnan(found[0]).all()
    assert found[1:].tolist() == [[0.5, 0.5], [1.0, 1.0]]


def test_a_thousand_draws_of_fifteen_hundred_images_are_fast():
    ratios, images = random_ratios(1500)
    ratios = np.tile(ratios, (10, 1, 1))  # [20, 2, P]
    start = time.process_time()
    bootstrap_intervals(ratios, images, num_draws=1000)
    assert time.process_time() - start < 1
