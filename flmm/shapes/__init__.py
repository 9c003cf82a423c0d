"""Synthetic scenes of coloured shapes with referring expressions, in the layouts of RefCOCO, gRefCOCO and PNG.

Scenes in motion are in the layout of Ref-YouTube-VOS.

Needs numpy, scipy, OpenCV, Pillow and pycocotools only.
"""

from flmm.shapes.build import build_dataset
from flmm.shapes.build_video import build_video_dataset
from flmm.shapes.captions import VOCABULARY, CaptionSegment, describe
from flmm.shapes.contours import KINDS
from flmm.shapes.expressions import EXPRESSION_KINDS, Expression, Reference, Sentence, refer, resolve
from flmm.shapes.generalized import GENERALIZED_KINDS, refer_to_none, refer_to_several
from flmm.shapes.generate import (
    GENERATOR_VERSION,
    SPLITS,
    SceneSample,
    generate_sample,
    generate_split,
    split_config,
)
from flmm.shapes.generate_video import VIDEO_SPLITS, VideoSample, generate_video, render_video
from flmm.shapes.motion import Motion, MovingScene
from flmm.shapes.motion_expressions import MOTION_KINDS, MotionExpression, refer_in_video, resolve_motion
from flmm.shapes.render import render_scene, visible_fractions
from flmm.shapes.sample_motion import VideoConfig, sample_moving_scene, video_config
from flmm.shapes.scene import COLOURS, DIFFICULTY, Scene, SceneConfig, Shape, sample_scene
from flmm.shapes.write_png import write_png
from flmm.shapes.write_refcoco import write_refcoco

__all__ = [
    'COLOURS',
    'DIFFICULTY',
    'EXPRESSION_KINDS',
    'GENERALIZED_KINDS',
    'GENERATOR_VERSION',
    'KINDS',
    'MOTION_KINDS',
    'SPLITS',
    'VIDEO_SPLITS',
    'VOCABULARY',
    'CaptionSegment',
    'Expression',
    'Motion',
    'MotionExpression',
    'MovingScene',
    'Reference',
    'Scene',
    'SceneConfig',
    'SceneSample',
    'Sentence',
    'Shape',
    'VideoConfig',
    'VideoSample',
    'build_dataset',
    'build_video_dataset',
    'describe',
    'generate_sample',
    'generate_split',
    'generate_video',
    'refer',
    'refer_in_video',
    'refer_to_none',
    'refer_to_several',
    'render_scene',
    'render_video',
    'resolve',
    'resolve_motion',
    'sample_moving_scene',
    'sample_scene',
    'split_config',
    'video_config',
    'visible_fractions',
    'write_png',
    'write_refcoco',
]
