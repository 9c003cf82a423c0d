"""What ``flmm ground`` does with a video."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flmm.plain_text import printable

if TYPE_CHECKING:
    from flmm.grounder import Grounder, VideoGrounding

SUFFIXES = ('.3gp', '.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
"""Of files that are taken for videos, in small letters or capitals."""


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are for videos alone."""
    group = parser.add_argument_group('videos')
    group.add_argument('--fps', type=float, help='frames a second that are read and get masks (default: 2)')
    group.add_argument(
        '--read-as', choices=('video', 'images'), help='as one sequence of video tokens (default), or frame by frame'
    )
    group.add_argument(
        '--tracker',
        metavar='FOLDER_OR_HUB',
        help="a SAM 2, such as facebook/sam2.1-hiera-large, which carries each phrase's best mask through the video",
    )


def is_video(path: Path) -> bool:
    """Whether a path is that of a video, by how it ends."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def check_video_options(args: argparse.Namespace) -> None:
    """Refuse options that are not for what is asked.

    Raises:
        ValueError: an option for videos beside an image or a folder, one that is not for videos beside a video, or a
            rate that is none.
    """
    given = [name for name in ('fps', 'read_as', 'tracker') if getattr(args, name) is not None]
    if is_video(args.image):
        if args.say is not None:
            raise ValueError('--say asks about images; name the phrases to find in a video')
        if args.fps is not None and not (math.isfinite(args.fps) and args.fps > 0):
            raise ValueError(f'--fps is {args.fps}, expected a number of frames a second above 0')
    elif given:
        raise ValueError(f'--{given[0].replace("_", "-")} is for videos, and {str(args.image)!r} is none; leave it out')


def find_in_video(load: Callable[[], 'Grounder'], args: argparse.Namespace, *, device: str) -> 'VideoGrounding':
    """Find the phrases in the video, as the options say.

    Args:
        load: gives the grounder, when tracker and video have shown that they can be read.
        args: the options.
        device: of the tracker, as torch calls it.
    """
    from flmm.video import FrameSampling, read_clip

    tracker = None
    if args.tracker is not None:
        from flmm.models.sam.video_tracker import VideoTracker

        tracker = VideoTracker.from_pretrained(args.tracker, device=device)
    clip = read_clip(args.image, sampling=FrameSampling(fps=args.fps))
    found = load().read_video(clip, read_as=args.read_as or 'video').ground(args.phrases)
    return found if tracker is None else found.tracked(tracker)


def video_rows(document: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a line for each phrase: its best score, and in how many frames it is."""
    rows = []
    for number, row in enumerate(document['phrases'], 1):
        scores = [score for score, area in zip(row['scores'], row['areas'], strict=True) if area]
        cells = ['not there', '']
        if scores:
            cells = [f'score {max(scores):.2f}', f'in {len(scores)} of {len(document["frames"])} frames']
        rows.append([f'  {number}', printable(row['phrase']), *cells])
    return rows
