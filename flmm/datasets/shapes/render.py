"""Scenes to pixels: an anti-aliased image and the exact visible mask of every shape."""

import cv2
import numpy as np

from flmm.datasets.shapes.scene import Scene, Shape

_SUPERSAMPLING = 4  # subpixels per side of a pixel
_SHIFT = 4  # fractional bits of the polygon coordinates given to OpenCV
_OUTLINE_RGB = np.array([35, 35, 40], dtype=np.float32)


def render_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene, back to front, over a background of smooth and textured regions.

    Args:
        scene: what to draw.
        rng: decides the background and the noise, nothing else.

    Returns:
        image [H, W, 3] uint8 RGB, and masks [num_shapes, H, W] bool: the pixels of which a shape covers at least half
        and which no later shape covers by half. Masks are disjoint; a hidden shape's mask is empty.
    """
    image = _background(scene, rng)
    owner = np.full((scene.height, scene.width), -1, dtype=np.int8)
    for index, shape in enumerate(scene.shapes):
        window, coverage, outline = _coverage(shape, scene)
        rgb = np.asarray(shape.rgb, dtype=np.float32)
        paint = rgb + outline[..., None] * (_OUTLINE_RGB - rgb)
        image[window] += coverage[..., None] * (paint - image[window])
        owner[window][coverage >= 0.5] = index
    if scene.config.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), scene.config.blur)
    if scene.config.noise > 0:
        noise = rng.standard_normal(image.shape[:2], dtype=np.float32)
        image += scene.config.noise * noise[..., None]
    masks = owner == np.arange(len(scene.shapes), dtype=np.int8)[:, None, None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), masks


def visible_fractions(scene: Scene, masks: np.ndarray) -> np.ndarray:
    """Give the visible share of every shape, [num_shapes] float in 0..1."""
    areas = np.array([shape.area for shape in scene.shapes])
    return np.minimum(masks.sum(axis=(1, 2)) / areas, 1.0)


def _coverage(shape: Shape, scene: Scene) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Rasterise one shape in its own window: the window, the covered share and the outline's share of each pixel."""
    left, top, right, bottom = shape.box
    x0, y0 = max(int(left) - 1, 0), max(int(top) - 1, 0)
    x1, y1 = min(int(right) + 2, scene.width), min(int(bottom) + 2, scene.height)
    shape_hw = ((y1 - y0) * _SUPERSAMPLING, (x1 - x0) * _SUPERSAMPLING)
    # OpenCV puts integer coordinates at pixel centres: hence the half subpixel.
    polygons = [
        np.rint(((contour - (x0, y0)) * _SUPERSAMPLING - 0.5) * (1 << _SHIFT)).astype(np.int32)
        for contour in shape.contours
    ]
    fill = np.zeros(shape_hw, dtype=np.uint8)
    cv2.fillPoly(fill, polygons, 255, shift=_SHIFT)
    size = (x1 - x0, y1 - y0)
    coverage = cv2.resize(fill, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    outline = np.zeros_like(coverage)
    if scene.config.outline > 0:
        stroke = np.zeros(shape_hw, dtype=np.uint8)
        # Half of the stroke falls outside of the shape, where nothing is painted.
        cv2.polylines(stroke, polygons, True, 255, 2 * scene.config.outline * _SUPERSAMPLING, shift=_SHIFT)  # noqa: FBT003
        outline = cv2.resize(stroke, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return (slice(y0, y1), slice(x0, x1)), coverage, outline


def _background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Blend soft-edged textured patches into a smooth gradient; [H, W, 3] float32, grey levels."""
    config, height, width = scene.config, scene.height, scene.width
    low, high = config.lightness
    grey = rng.uniform(low, high) + rng.uniform(-0.12, 0.12, size=(3, 3, 1)) * (high - low)
    tint = rng.uniform(-9, 9, size=(1, 1, 3)) + rng.uniform(-5, 5, size=(3, 3, 3))
    image = cv2.resize((grey + tint).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(config.num_patches[0], config.num_patches[1] + 1)):
        patch_h, patch_w = (int(side * rng.uniform(0.25, 0.6)) for side in (height, width))
        y, x = rng.integers(0, height - patch_h + 1), rng.integers(0, width - patch_w + 1)
        texture = _TEXTURES[rng.integers(len(_TEXTURES))](patch_h, patch_w, rng)
        fade = np.outer(_fade(patch_h), _fade(patch_w))
        strength = config.patch_contrast * rng.uniform(0.5, 1.0)
        image[y : y + patch_h, x : x + patch_w] += (strength * fade * texture)[..., None]
    return image


def _fade(length: int) -> np.ndarray:
    """Rise from 0 to 1 over the first fifth and fall over the last."""
    position = (np.arange(length, dtype=np.float32) + 0.5) / length
    return np.clip(5 * np.minimum(position, 1 - position), 0, 1)


def _stripes(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 18)
    frequency = np.float32(2 * np.pi / period)
    rows = np.arange(height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    columns = np.arange(width, dtype=np.float32)[None] * np.float32(np.cos(angle))
    return np.sin(frequency * (rows + columns))


def _grain(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    cell = int(rng.integers(1, 4))
    coarse = rng.standard_normal((-(-height // cell), -(-width // cell)), dtype=np.float32)
    return 0.6 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def _clutter(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    canvas = np.zeros((height, width), dtype=np.float32)
    count = max(height * width // 250, 8)
    ends = rng.uniform((0, 0), (width, height), size=(count, 2))
    steps = rng.uniform(-14, 14, size=(count, 2))
    for end, step, level in zip(ends, steps, rng.uniform(-1, 1, size=count).tolist(), strict=True):
        x, y, dx, dy = (int(value) for value in (*end, *step))
        cv2.line(canvas, (x, y), (x + dx, y + dy), level, 2)
    return canvas


_TEXTURES = (_stripes, _grain, _clutter)
