"""What is true of shapes in motion, by their centres."""

from flmm.shapes.generate_video import VideoSample


def step_of(sample: VideoSample, index: int, start: int) -> str:
    """In which direction the centre of a shape moves from one frame to the next, or 'still'."""
    (x, y), (next_x, next_y) = (scene.shapes[index].centre for scene in sample.video.scenes[start : start + 2])
    steps = {'left': x - next_x, 'right': next_x - x, 'up': y - next_y, 'down': next_y - y}
    return max(steps, key=steps.__getitem__) if any(steps.values()) else 'still'
