"""Scenes in motion, drawn by lot."""

from dataclasses import dataclass, field, replace

import numpy as np

from flmm.shapes.motion import DIRECTIONS, Motion, MovingScene
from flmm.shapes.scene import DIFFICULTY, Scene, SceneConfig, Shape, box_overlap, sample_look

SIDE_STEP = 28
"""Sides are multiples of this many px, the unit of Qwen2-VL and Qwen2.5-VL, so that no frame is resized for them."""
COURSES = {'steady': 0.3, 'still': 0.24, 'stops': 0.14, 'starts': 0.14, 'leaves': 0.1, 'enters': 0.08}
"""How likely a shape moves all the time, never, only at first, only at last, out of the picture or into it."""
MIN_FRAMES = 6
MIN_REST = 2
"""Steps between frames that a shape which stops or starts is at rest for, at least."""
_TRAVEL = (0.28, 0.6)  # how far a shape gets, of the picture's side
_AIMED = 0.5  # probability that a shape moves along a line on which another one is
_MARGIN = 2.0  # px between a shape and the picture's edge, inside or outside, where it begins and ends
_PLACEMENT_TRIES = 60
_SCENE_TRIES = 100


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """How scenes in motion are drawn by lot.

    Args:
        scene: what is in the picture, and its size: sides are those multiples of 28 px that ``side_range`` holds.
        num_frames: 6 or more.
        fps: frames in a second.
        twins: probability that a shape has kind and colour of an earlier one, and another motion, 0..1.

    Raises:
        ValueError: too few frames, no multiple of 28 px in the range of the sides, or a value out of its range.
    """

    scene: SceneConfig = field(default_factory=SceneConfig)
    num_frames: int = 8
    fps: float = 2.0
    twins: float = 0.6

    def __post_init__(self) -> None:
        if self.num_frames < MIN_FRAMES:
            raise ValueError(f'num_frames={self.num_frames}: give {MIN_FRAMES} or more, so that motion can be seen.')
        if not self.fps > 0:
            raise ValueError(f'fps={self.fps}: give frames in a second, more than 0.')
        if not 0 <= self.twins <= 1:
            raise ValueError(f'twins={self.twins} is a probability: give a value within 0..1.')
        if not self.sides:
            raise ValueError(f'side_range={self.scene.side_range} holds no multiple of {SIDE_STEP} px: widen it.')

    @property
    def sides(self) -> range:
        """The sides that a picture may have, px."""
        low, high = self.scene.side_range
        return range(-(-low // SIDE_STEP) * SIDE_STEP, high + 1, SIDE_STEP)


def video_config(
    difficulty: str, *, num_frames: int = 8, fps: float = 2.0, side_range: tuple[int, int] = (140, 196)
) -> VideoConfig:
    """Give small pictures of two to five shapes, in the manner of one of :data:`DIFFICULTY`, such as 'medium'."""
    still = DIFFICULTY[difficulty]
    scene = replace(
        still, side_range=side_range, num_shapes=(2, 5), size_range=(0.2, 0.34), outline=min(still.outline, 2)
    )
    return VideoConfig(scene=scene, num_frames=num_frames, fps=fps)


def sample_moving_scene(rng: np.random.Generator, config: VideoConfig) -> MovingScene:
    """Draw a scene in motion by lot. The result depends on the state of ``rng`` and on ``config`` alone.

    Shapes of one colour never overlap. Others may hide each other while they pass, but neither at the first frame
    nor at the last, nor for more than half of the time.

    Raises:
        ValueError: the fewest shapes asked for find no way past each other.
    """
    height, width = (int(side) for side in rng.choice(config.sides, size=2))
    fewest, most = config.scene.num_shapes
    wanted = int(rng.integers(fewest, most + 1))
    empty = MovingScene(
        start=Scene(height=height, width=width, shapes=(), config=config.scene),
        motions=(),
        num_frames=config.num_frames,
        fps=config.fps,
    )
    for _ in range(_SCENE_TRIES):
        video = empty
        while len(video.motions) < wanted:
            more = _add_shape(video, rng, config)
            if more is None:
                break
            video = more
        if len(video.motions) >= fewest:
            return video
    raise ValueError(
        f'{fewest} shapes of size_range={config.scene.size_range} find no way past each other in {height}x{width} px: '
        'lower num_shapes or size_range.'
    )


def _add_shape(video: MovingScene, rng: np.random.Generator, config: VideoConfig) -> MovingScene | None:
    """Add a shape in front; None where none finds a way."""
    present = video.start.shapes
    look = sample_look(rng, config.scene, list(present))
    if present and rng.random() < config.twins:
        twin = present[rng.integers(len(present))]
        look = replace(look, kind=twin.kind, colour=twin.colour, rgb=twin.rgb)
    look = replace(look, size=look.size * min(video.start.height, video.start.width))
    taken = {
        _manner(motion, video)
        for shape, motion in zip(present, video.motions, strict=True)
        if (shape.kind, shape.colour) == (look.kind, look.colour)
    }
    for _ in range(_PLACEMENT_TRIES):
        found = _draw_course(look, video, rng)
        if found is None:
            continue
        shape, motion = found
        if _manner(motion, video) in taken:
            continue  # a twin that moves in the same manner: nothing could be said of either
        more = replace(video, start=replace(video.start, shapes=(*present, shape)), motions=(*video.motions, motion))
        if all(_may_pass(more, index, config) for index in range(len(present))):
            return more
    return None


def _manner(motion: Motion, video: MovingScene) -> tuple[str | None, int, bool]:
    """What can be told of a motion: its direction, when it begins, and whether it ends before the video does."""
    return motion.direction, motion.first, motion.last < video.num_frames - 1


def _draw_course(look: Shape, video: MovingScene, rng: np.random.Generator) -> tuple[Shape, Motion] | None:
    """Draw how a shape moves, and where it begins; None where there is no room for that."""
    sides = np.array([video.start.width, video.start.height], dtype=float)
    left, top, right, bottom = look.box
    low, high = np.array([_MARGIN - left, _MARGIN - top]), sides - (_MARGIN + right, _MARGIN + bottom)
    if (low > high).any():
        return None
    centre = rng.uniform(low, high)  # somewhere inside
    course, end = rng.choice(list(COURSES), p=list(COURSES.values())), video.num_frames - 1
    if course == 'still':
        return replace(look, centre=tuple(centre.tolist())), Motion(last=end)
    direction = str(rng.choice(list(DIRECTIONS)))
    step = np.array(DIRECTIONS[direction], dtype=float)
    axis = int(np.flatnonzero(step)[0])
    if video.motions and rng.random() < _AIMED:
        halfway = video.scenes[video.num_frames // 2].shapes[rng.integers(len(video.motions))]
        centre[1 - axis] = np.clip(halfway.centre[1 - axis], low[1 - axis], high[1 - axis])
    room = high[axis] - low[axis]
    first, last = 0, end
    if course in ('leaves', 'enters'):
        is_far_edge = (step[axis] > 0) == (course == 'leaves')
        to_edge = high[axis] - centre[axis] if is_far_edge else centre[axis] - low[axis]
        extent = look.box[2 + axis] - look.box[axis]
        distance = to_edge + extent + 2 * _MARGIN
        if not _TRAVEL[0] * sides[axis] <= distance:
            return None
        if course == 'enters':
            centre = centre - step * distance
        first, last = (0, end - 1) if course == 'leaves' else (1, end)
    else:
        if course == 'stops':
            last = int(rng.integers(end // 2, end - MIN_REST + 1))
        elif course == 'starts':
            first = int(rng.integers(MIN_REST, end - end // 2 + 1))
        shortest, longest = _TRAVEL[0] * sides[axis], min(_TRAVEL[1] * sides[axis], room)
        if shortest > longest:
            return None
        distance = float(rng.uniform(shortest, longest))
        begin = low[axis] if step[axis] > 0 else low[axis] + distance
        centre[axis] = rng.uniform(begin, begin + room - distance)
    motion = Motion(direction=direction, first=first, last=last, distance=float(distance))
    return replace(look, centre=tuple(centre.tolist())), motion


def _may_pass(video: MovingScene, index: int, config: VideoConfig) -> bool:
    """Tell whether the last shape and shape ``index`` never hide what nobody could then tell."""
    overlaps = np.array([box_overlap(scene.shapes[-1].box, scene.shapes[index].box) for scene in video.scenes])
    if video.start.shapes[-1].colour == video.start.shapes[index].colour:
        return not overlaps.any()
    hidden = overlaps > config.scene.max_overlap
    return not (hidden[0] or hidden[-1] or hidden.mean() > 0.5)
