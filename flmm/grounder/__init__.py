"""Masks for phrases of any image: read it once, ask often."""

from flmm.grounder.answer import Answer
from flmm.grounder.closer import CloserAnswer
from flmm.grounder.demo import demo_folder
from flmm.grounder.grounder import Grounder
from flmm.grounder.grounding import Grounding
from flmm.grounder.read_image import AttentionMaps, ReadImage
from flmm.grounder.read_video import ReadVideo
from flmm.grounder.region import Region
from flmm.grounder.video_grounding import VideoGrounding

__all__ = [
    'Answer',
    'AttentionMaps',
    'CloserAnswer',
    'Grounder',
    'Grounding',
    'ReadImage',
    'ReadVideo',
    'Region',
    'VideoGrounding',
    'demo_folder',
]
