"""Scenes and their pictures: reproducible, within the ranges asked for, with exact masks."""

import numpy as np
import pytest

from flmm.shapes import (
    COLOURS,
    DIFFICULTY,
    KINDS,
    Scene,
    SceneConfig,
    Shape,
    generate_sample,
    generate_split,
    render_scene,
    sample_scene,
    split_config,
    visible_fractions,
)

PLAIN = SceneConfig(outline=0, noise=0.0, num_patches=(0, 0))


def make_shape(kind, *, size=60.0, centre=(80.0, 90.0), rotation=0.0, colour='red'):
    return Shape(kind=kind, colour=colour, rgb=COLOURS[colour], size=size, centre=centre, rotation=rotation)


def make_scene(*shapes, config=PLAIN, height=180, width=160):
    return Scene(height=height, width=width, shapes=shapes, config=config)


def inside(polygons, x, y):
    """Even-odd rule by counting the edges that a ray to the right crosses."""
    crossings = np.zeros(np.broadcast(x, y).shape, dtype=int)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 != y1:
                crossings += ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return crossings % 2 == 1


def oracle_coverage(shape, height, width, *, samples=5):
    """Share of samples x samples points of each pixel that lie in the shape."""
    offsets = (np.arange(samples) + 0.5) / samples
    x = (np.arange(width)[:, None] + offsets).ravel()
    y = (np.arange(height)[:, None] + offsets).ravel()
    points = inside(shape.contours, x[None], y[:, None])
    return points.reshape(height, samples, width, samples).mean(axis=(1, 3))


@pytest.mark.parametrize('difficulty', DIFFICULTY)
def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(difficulty):
    config = DIFFICULTY[difficulty]
    first, again, other = (generate_sample(3, seed=seed, split='val', config=config) for seed in (5, 5, 6))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.masks.tobytes() == again.masks.tobytes()
    assert first.scene == again.scene
    assert first.references == again.references
    assert first.scene != other.scene


def test_short_split_is_a_prefix_and_splits_differ():
    arguments = {'seed': 1, 'config': DIFFICULTY['medium']}
    long = list(generate_split(split='train', num_images=5, **arguments))
    short = list(generate_split(split='train', num_images=2, **arguments))
    assert [sample.scene for sample in short] == [sample.scene for sample in long[:2]]
    assert all((a.image == b.image).all() for a, b in zip(short, long, strict=False))
    val = list(generate_split(split='val', num_images=5, **arguments))
    assert all(a.scene != b.scene for a, b in zip(long, val, strict=True))
    assert len({sample.image_id for sample in long + val}) == 10


@pytest.mark.parametrize('difficulty', DIFFICULTY)
def test_scenes_stay_within_their_config(difficulty):
    config = DIFFICULTY[difficulty]
    scenes = [sample_scene(np.random.default_rng(seed), config) for seed in range(60)]
    sides = [side for scene in scenes for side in (scene.height, scene.width)]
    assert 224 <= min(sides) < 250
    assert 420 < max(sides) <= 448
    assert {len(scene.shapes) for scene in scenes} == set(range(config.num_shapes[0], config.num_shapes[1] + 1))
    shapes = [(scene, shape) for scene in scenes for shape in scene.shapes]
    assert {shape.kind for _, shape in shapes} == set(KINDS)
    assert {shape.colour for _, shape in shapes} == set(COLOURS)
    for scene, shape in shapes:
        left, top, right, bottom = shape.box
        assert min(left, top) >= 0
        assert right <= scene.width
        assert bottom <= scene.height
        fraction = shape.size / min(scene.height, scene.width)
        assert config.size_range[0] - 1e-9 <= fraction <= config.size_range[1]
        assert min(COLOURS, key=lambda name: np.abs(np.subtract(COLOURS[name], shape.rgb)).sum()) == shape.colour


def test_easy_shapes_never_touch_and_hard_ones_do():
    def hidden(name):
        samples = generate_split(seed=0, split='train', num_images=12, config=DIFFICULTY[name])
        return [1 - visible_fractions(sample.scene, sample.masks) for sample in samples]

    assert max(fractions.max() for fractions in hidden('easy')) < 0.02  # boundary pixels
    assert max(fractions.max() for fractions in hidden('hard')) > 0.2


def test_shapes_of_one_colour_keep_apart():
    for sample in generate_split(seed=0, split='testB', num_images=12, config=DIFFICULTY['hard']):
        for colour in COLOURS:
            boxes = [shape.box for shape in sample.scene.shapes if shape.colour == colour]
            for index, a in enumerate(boxes):
                assert all(a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3] for b in boxes[:index])


@pytest.mark.parametrize('kind', KINDS)
def test_mask_is_the_rasterised_outline(kind):
    shape = make_shape(kind, size=57.3, centre=(71.4, 88.8), rotation=11.0)
    _, masks = render_scene(make_scene(shape), np.random.default_rng(0))
    coverage = oracle_coverage(shape, 180, 160)
    clear = (coverage < 0.3) | (coverage > 0.7)
    assert (masks[0] == (coverage > 0.5))[clear].all()
    assert masks[0].sum() == pytest.approx(shape.area, rel=0.015)
    assert coverage.sum() == pytest.approx(shape.area, rel=0.005)


def test_areas_of_kinds_with_a_formula():
    radius = 30.0
    assert make_shape('circle').area == pytest.approx(np.pi * radius**2, rel=0.002)
    assert make_shape('ring').area == pytest.approx(np.pi * radius**2 * (1 - 0.45**2), rel=0.002)
    assert make_shape('square', rotation=33.0).area == pytest.approx(3600)
    assert make_shape('square').box == pytest.approx((50, 60, 110, 120))


def test_masks_are_what_later_shapes_leave_visible():
    for sample in generate_split(seed=2, split='train', num_images=2, config=DIFFICULTY['hard']):
        height, width = sample.masks.shape[1:]
        assert sample.masks.sum(axis=0).max() == 1
        free = np.ones((height, width), dtype=bool)
        for shape, mask in reversed(list(zip(sample.scene.shapes, sample.masks, strict=True))):
            coverage = oracle_coverage(shape, height, width, samples=3)
            wrong = mask != (free & (coverage > 0.5))
            assert not wrong[(coverage < 0.25) | (coverage > 0.75)].any()
            assert wrong.sum() <= 0.02 * shape.area
            free &= ~mask


def test_a_shape_behind_another_has_an_empty_mask():
    scene = make_scene(make_shape('circle', size=30.0), make_shape('square', size=60.0, colour='blue'))
    _, masks = render_scene(scene, np.random.default_rng(0))
    assert masks.dtype == bool
    assert not masks[0].any()
    assert visible_fractions(scene, masks).tolist() == [0, pytest.approx(1, rel=0.02)]


def test_shape_is_painted_in_its_colour_within_a_dark_outline():
    scene = make_scene(make_shape('square', size=60.0), config=SceneConfig(noise=0.0, num_patches=(0, 0)))
    image, masks = render_scene(scene, np.random.default_rng(0))
    assert image.dtype == np.uint8
    assert image.shape == (180, 160, 3)
    assert image[90, 80].tolist() == list(COLOURS['red'])
    assert masks[0, 90, 50:110].all()
    assert masks[0].sum() == 3600
    assert (image[90, 50:53] < 90).all()
    assert image[90, 56:104].tolist() == [list(COLOURS['red'])] * 48
    assert (image[~masks[0]] > 150).all()


def test_backgrounds_have_smooth_and_busy_regions_and_hard_ones_are_busier():
    def roughness(name):
        samples = generate_split(seed=0, split='train', num_images=10, config=DIFFICULTY[name])
        cells = []
        for sample in samples:
            grey = sample.image.mean(axis=2)
            for top, left in np.ndindex(grey.shape[0] // 28, grey.shape[1] // 28):
                rows, columns = slice(28 * top, 28 * top + 28), slice(28 * left, 28 * left + 28)
                if not sample.masks[:, rows, columns].any():
                    cells.append(np.abs(np.diff(grey[rows, columns], axis=1)).mean())
        return np.percentile(cells, [25, 95])

    smooth, busy = roughness('medium')
    assert smooth < 1.0
    assert busy > 3 * smooth
    assert roughness('hard')[0] > 3 * smooth


def test_splits_have_their_own_difficulty():
    config = DIFFICULTY['medium']
    assert split_config('train', config) == split_config('val', config) == config
    assert split_config('testA', config).num_shapes == (4, 6)
    assert split_config('testB', config).similarity == 1.0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'side_range': (300, 200)}, r'side_range=\(300, 200\) is not a range'),
        ({'side_range': (32, 200)}, r'side_range=\(32, 200\) allows images below 64 px'),
        ({'num_shapes': (0, 3)}, r'num_shapes=\(0, 3\): give a range within \(1, 6\)'),
        ({'num_shapes': (2, 9)}, r'num_shapes=\(2, 9\): give a range within \(1, 6\)'),
        ({'size_range': (0.2, 0.9)}, r'size_range=\(0.2, 0.9\): give fractions'),
        ({'kinds': ('circle', 'blob')}, r"unknown \['blob'\]; choose at least one of"),
        ({'colours': ()}, r'colours=\(\): unknown \[\]; choose at least one of'),
        ({'max_overlap': 1.5}, 'max_overlap=1.5 is a fraction'),
        ({'noise': -1.0}, 'noise=-1.0 is negative: give 0 to switch it off'),
    ],
)
def test_bad_configs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**arguments)


def test_impossible_scene_names_the_remedy():
    config = SceneConfig(side_range=(100, 100), num_shapes=(6, 6), size_range=(0.6, 0.6), max_overlap=0.0)
    with pytest.raises(ValueError, match=r'6 shapes .* do not fit into 100x100 px: lower num_shapes'):
        sample_scene(np.random.default_rng(0), config)


def test_bad_samples_are_refused():
    config = DIFFICULTY['easy']
    with pytest.raises(ValueError, match=r"Unknown split 'test': choose one of \('train', 'val', 'testA', 'testB'\)"):
        generate_sample(0, seed=0, split='test', config=config)
    with pytest.raises(ValueError, match='seed=-1 is negative'):
        generate_sample(0, seed=-1, split='val', config=config)
    with pytest.raises(ValueError, match=r'index=1000000: a split holds 1000000 scenes'):
        generate_sample(1_000_000, seed=0, split='val', config=config)
