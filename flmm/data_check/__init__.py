"""Looks for everything that is wrong with the datasets of a config, before training or testing meets the first of it.

The datasets and transforms of the config itself say what is wrong: nothing is checked by a second set of rules.
"""

from flmm.data_check.figure import draw_report
from flmm.data_check.findings import ImageFindings, ItemFindings
from flmm.data_check.images import ImageChecks
from flmm.data_check.problems import Problem, Problems
from flmm.data_check.sources import Source, find_sources
from flmm.data_check.summary import Summary, check_images
from flmm.data_check.text import format_report
from flmm.data_check.video_source import VideoSource
from flmm.data_check.videos import check_videos

__all__ = [
    'ImageChecks',
    'ImageFindings',
    'ItemFindings',
    'Problem',
    'Problems',
    'Source',
    'Summary',
    'VideoSource',
    'check_images',
    'check_videos',
    'draw_report',
    'find_sources',
    'format_report',
]
