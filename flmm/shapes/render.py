"""Scenes to pixels: an anti-aliased image and the exact visible mask of every shape."""

import cv2
import numpy as np
from scipy.special import ndtri

from flmm.shapes.scene import Scene, Shape

_SUPERSAMPLING = 4  # subpixels per side of a pixel
_SHIFT = 4  # fractional bits of the polygon coordinates given to OpenCV
_OUTLINE_GREY = 35.0
_NORMAL_QUANTILES = ndtri((np.arange(256) + 0.5) / 256).astype(np.float32)


def render_scene(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene, back to front, over a background of smooth and textured regions.

    Args:
        scene: what to draw.
        rng: decides the background and the noise, nothing else.

    Returns:
        image [H, W, 3] uint8 RGB, and masks [num_shapes, H, W] bool: the pixels of which a shape covers at least half
        and which no later shape covers by half. Masks are disjoint; a hidden shape's mask is empty.
    """
    image, masks = paint(scene, draw_background(scene, rng))
    return finish(image, scene, rng), masks


def paint(scene: Scene, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paint the shapes over a background, back to front; what lies outside of the picture is cut off.

    Args:
        scene: whose shapes are painted.
        background: [H, W, 3] float32, grey levels; it is not changed.

    Returns:
        image [H, W, 3] float32, and masks [num_shapes, H, W] bool, as :func:`render_scene` gives them.
    """
    image = background.copy()
    owner = np.full((scene.height, scene.width), -1, dtype=np.int8)
    for index, shape in enumerate(scene.shapes):
        if shape.is_outside(scene.height, scene.width):
            continue
        window, coverage, outline = _coverage(shape, scene)
        colour = np.empty((*coverage.shape, 3), dtype=np.float32)
        colour[:] = shape.rgb
        if outline is not None:
            colour = cv2.blendLinear(np.full_like(colour, _OUTLINE_GREY), colour, outline, 1 - outline)
        image[window] = cv2.blendLinear(colour, image[window], coverage, 1 - coverage)
        owner[window][coverage >= 0.5] = index
    return image, np.stack([owner == index for index in range(len(scene.shapes))])


def finish(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Blur a painted image [H, W, 3] float32, add noise, and round to uint8."""
    if scene.config.blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), scene.config.blur)
    if scene.config.noise > 0:
        noise = scene.config.noise * _normal(*image.shape[:2], rng)
        image = cv2.add(image, cv2.merge([noise, noise, noise]))
    return cv2.add(image, 0, dtype=cv2.CV_8U)  # rounds and saturates


def visible_fractions(scene: Scene, masks: np.ndarray) -> np.ndarray:
    """Give the visible share of every shape, [num_shapes] float in 0..1."""
    areas = np.array([shape.area for shape in scene.shapes])
    return np.minimum(masks.sum(axis=(1, 2)) / areas, 1.0)


def _coverage(shape: Shape, scene: Scene) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray | None]:
    """Rasterise one shape in its own window: the window, the covered share and the outline's share of each pixel."""
    left, top, right, bottom = shape.box
    x0, y0 = max(int(left) - 1, 0), max(int(top) - 1, 0)
    x1, y1 = min(int(right) + 2, scene.width), min(int(bottom) + 2, scene.height)
    shape_hw = ((y1 - y0) * _SUPERSAMPLING, (x1 - x0) * _SUPERSAMPLING)
    polygons = [contour - (x0, y0) for contour in shape.contours]
    fill = np.zeros(shape_hw, dtype=np.uint8)
    points = _fixed_point(polygons, scale=_SUPERSAMPLING)
    cv2.fillPoly(fill, points, 255, shift=_SHIFT)
    # OpenCV fills the subpixels that the boundary runs through, whose better half lies outside: count them by half.
    cv2.polylines(fill, points, True, 128, shift=_SHIFT)  # noqa: FBT003
    coverage = cv2.resize(fill, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    outline = None
    if scene.config.outline > 0:
        stroke = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        # Half of the stroke falls outside of the shape, where nothing is painted.
        width = 2 * scene.config.outline
        cv2.polylines(stroke, _fixed_point(polygons), True, 255, width, cv2.LINE_AA, shift=_SHIFT)  # noqa: FBT003
        outline = stroke.astype(np.float32) / 255
    return (slice(y0, y1), slice(x0, x1)), coverage, outline


def _fixed_point(polygons: list[np.ndarray], *, scale: int = 1) -> list[np.ndarray]:
    """Put polygons into OpenCV's frame, where the centre of a pixel is a whole number, as fixed-point numbers."""
    return [np.rint((polygon * scale - 0.5) * (1 << _SHIFT)).astype(np.int32) for polygon in polygons]


def draw_background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
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
        strength = np.float32(config.patch_contrast * rng.uniform(0.5, 1.0))
        texture *= strength * fade
        region = image[y : y + patch_h, x : x + patch_w]
        region[:] = cv2.add(region, cv2.merge([texture] * 3))
    return image


def _normal(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw [height, width] standard normal values from 256 levels, three times as fast as from a continuum."""
    return _NORMAL_QUANTILES[rng.integers(256, size=(height, width), dtype=np.uint8)]


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
    coarse = _normal(-(-height // cell), -(-width // cell), rng)
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
