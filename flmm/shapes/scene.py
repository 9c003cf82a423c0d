"""Scenes of coloured shapes: what is in the picture, before anything is drawn."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from flmm.shapes.contours import KINDS, kind_contours, polygon_area

COLOURS = MappingProxyType(
    {
        'red': (222, 40, 38),
        'orange': (248, 140, 20),
        'yellow': (250, 222, 45),
        'green': (45, 160, 60),
        'cyan': (70, 205, 220),
        'blue': (40, 80, 215),
        'purple': (135, 50, 170),
        'pink': (250, 140, 190),
    }
)
MAX_SHAPES = 6  # captions count no further
_COLOUR_JITTER = 10
_BORDER = 2  # px between a shape and the image's edge
_PLACEMENT_TRIES = 30
_SCENE_TRIES = 100


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """How scenes are drawn by lot; every range is inclusive at its lower end.

    Args:
        side_range: height and width of the image, px, drawn independently.
        num_shapes: fewest and most shapes in a scene, within 1..6.
        kinds: shape kinds allowed, of :data:`KINDS`.
        colours: colour names allowed, of :data:`COLOURS`.
        size_range: longer side of a shape, as a fraction of the image's shorter side.
        max_overlap: most of the smaller bounding box that any other one may cover, 0..1; shapes of one colour never
            overlap, as nothing would show their border.
        max_rotation: degrees to either side.
        similarity: probability that a shape takes the kind or the colour of an earlier one, 0..1.
        outline: width of the dark outline (part of the shape), px; 0 draws none.
        lightness: range of the background's grey level, 0..255.
        num_patches: fewest and most textured patches in the background.
        patch_contrast: amplitude of their texture, grey levels.
        noise: standard deviation of the pixel noise, grey levels.
        blur: standard deviation of the final Gaussian blur, px.

    Raises:
        ValueError: a range is empty, a name is unknown or a fraction leaves 0..1.
    """

    side_range: tuple[int, int] = (224, 448)
    num_shapes: tuple[int, int] = (2, 6)
    kinds: tuple[str, ...] = KINDS
    colours: tuple[str, ...] = tuple(COLOURS)
    size_range: tuple[float, float] = (0.21, 0.42)
    max_overlap: float = 0.15
    max_rotation: float = 15.0
    similarity: float = 0.5
    outline: int = 4
    lightness: tuple[int, int] = (185, 240)
    num_patches: tuple[int, int] = (1, 3)
    patch_contrast: float = 18.0
    noise: float = 0.7
    blur: float = 0.0

    def __post_init__(self) -> None:
        for name in ('side_range', 'num_shapes', 'size_range', 'lightness', 'num_patches'):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f'{name}={(low, high)} is not a range: give (low, high) with 0 <= low <= high.')
        if self.side_range[0] < 64:
            raise ValueError(f'side_range={self.side_range} allows images below 64 px: raise its lower end.')
        if self.num_shapes[0] < 1 or self.num_shapes[1] > MAX_SHAPES:
            raise ValueError(f'num_shapes={self.num_shapes}: give a range within (1, {MAX_SHAPES}).')
        if not 0 < self.size_range[0] <= self.size_range[1] <= 0.6:
            raise ValueError(f'size_range={self.size_range}: give fractions of the shorter side within (0, 0.6].')
        for name, known in (('kinds', KINDS), ('colours', tuple(COLOURS))):
            unknown = sorted(set(getattr(self, name)) - set(known))
            if unknown or not getattr(self, name):
                raise ValueError(f'{name}={getattr(self, name)}: unknown {unknown}; choose at least one of {known}.')
        for name in ('max_overlap', 'similarity'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name}={getattr(self, name)} is a fraction: give a value within 0..1.')
        for name in ('max_rotation', 'outline', 'patch_contrast', 'noise', 'blur'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name}={getattr(self, name)} is negative: give 0 to switch it off.')


DIFFICULTY = MappingProxyType(
    {
        'easy': SceneConfig(
            num_shapes=(2, 4), size_range=(0.26, 0.44), max_overlap=0.0, max_rotation=8.0, num_patches=(0, 1),
            patch_contrast=8.0, noise=0.0, lightness=(205, 245),
        ),
        'medium': SceneConfig(),
        'hard': SceneConfig(
            num_shapes=(3, 6), size_range=(0.13, 0.36), max_overlap=0.6, max_rotation=30.0, outline=0,
            lightness=(90, 235), num_patches=(4, 7), patch_contrast=32.0, noise=5.0, blur=0.6,
        ),
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One shape.

    Args:
        kind: one of :data:`KINDS`.
        colour: its name, one of :data:`COLOURS`.
        rgb: the colour it is painted in, near the one named.
        size: longer side of its box before rotation, px.
        centre: XY of that box's middle, px.
        rotation: degrees, clockwise.
    """

    kind: str
    colour: str
    rgb: tuple[int, int, int]
    size: float
    centre: tuple[float, float]
    rotation: float

    @cached_property
    def contours(self) -> list[np.ndarray]:
        """Polygons [P, 2] in px of the image frame, XY; the second one, if any, is a hole."""
        contours = kind_contours(self.kind, size=self.size, rotation=self.rotation)
        return [contour + self.centre for contour in contours]

    @cached_property
    def area(self) -> float:
        """Area in px, before anything hides it."""
        outer, *holes = map(polygon_area, self.contours)
        return outer - sum(holes)

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in px, before anything hides it."""
        outer = self.contours[0]
        return (*outer.min(axis=0).tolist(), *outer.max(axis=0).tolist())

    def is_outside(self, height: int, width: int) -> bool:
        """Tell whether nothing of the shape lies in a picture of ``height`` x ``width`` px."""
        left, top, right, bottom = self.box
        return right <= 0 or bottom <= 0 or left >= width or top >= height


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture of ``height`` x ``width`` px and its shapes from back to front."""

    height: int
    width: int
    shapes: tuple[Shape, ...]
    config: SceneConfig


def sample_scene(rng: np.random.Generator, config: SceneConfig) -> Scene:
    """Draw a scene by lot. The result depends on the state of ``rng`` and on ``config`` alone.

    Raises:
        ValueError: the fewest shapes asked for do not fit without more overlap than allowed.
    """
    height, width = (int(side) for side in rng.integers(config.side_range[0], config.side_range[1] + 1, size=2))
    wanted = int(rng.integers(config.num_shapes[0], config.num_shapes[1] + 1))
    for _ in range(_SCENE_TRIES):
        shapes: list[Shape] = []
        while len(shapes) < wanted:
            shape = _place(sample_look(rng, config, shapes), rng, config, shapes, height=height, width=width)
            if shape is None:
                break
            shapes.append(shape)
        if len(shapes) >= config.num_shapes[0]:
            return Scene(height=height, width=width, shapes=tuple(shapes), config=config)
    raise ValueError(
        f'{config.num_shapes[0]} shapes of size_range={config.size_range} do not fit into {height}x{width} px: lower '
        f'num_shapes or size_range, or raise max_overlap={config.max_overlap}.'
    )


def sample_look(rng: np.random.Generator, config: SceneConfig, shapes: list[Shape]) -> Shape:
    """Draw kind, colour, size and rotation; the centre is not chosen yet."""
    kind, colour = str(rng.choice(config.kinds)), str(rng.choice(config.colours))
    if shapes and rng.random() < config.similarity:
        twin = shapes[rng.integers(len(shapes))]
        kind, colour = (twin.kind, colour) if rng.random() < 0.5 else (kind, twin.colour)
    jitter = rng.integers(-_COLOUR_JITTER, _COLOUR_JITTER + 1, size=3)
    rgb = tuple(np.clip(COLOURS[colour] + jitter, 0, 255).tolist())
    size, rotation = rng.uniform(*config.size_range), rng.uniform(-config.max_rotation, config.max_rotation)
    return Shape(kind=kind, colour=colour, rgb=rgb, size=float(size), centre=(0.0, 0.0), rotation=float(rotation))


def _place(
    look: Shape, rng: np.random.Generator, config: SceneConfig, shapes: list[Shape], *, height: int, width: int
) -> Shape | None:
    """Find a free centre, shrinking the shape (here its size is still a fraction) when there is none."""
    fraction = look.size
    while True:
        sized = replace(look, size=fraction * min(height, width))
        left, top, right, bottom = sized.box
        low = np.array([_BORDER - left, _BORDER - top])
        high = np.array([width - _BORDER - right, height - _BORDER - bottom])
        for _ in range(_PLACEMENT_TRIES):
            shape = replace(sized, centre=tuple(rng.uniform(low, high).tolist()))
            limits = [0.0 if other.colour == shape.colour else config.max_overlap for other in shapes]
            if all(box_overlap(shape.box, other.box) <= limit for other, limit in zip(shapes, limits, strict=True)):
                return shape
        if fraction <= config.size_range[0]:
            return None
        fraction = max(0.85 * fraction, config.size_range[0])


def box_overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection of two boxes over the area of the smaller one, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
