"""Synthetic scenes of coloured shapes with referring expressions, in the layouts of RefCOCO, gRefCOCO and PNG.

Needs numpy, scipy, OpenCV, Pillow and pycocotools only.
"""

from flmm.shapes.build import build_dataset
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
from flmm.shapes.render import render_scene, visible_fractions
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
    'SPLITS',
    'VOCABULARY',
    'CaptionSegment',
    'Expression',
    'Reference',
    'Scene',
    'SceneConfig',
    'SceneSample',
    'Sentence',
    'Shape',
    'build_dataset',
    'describe',
    'generate_sample',
    'generate_split',
    'refer',
    'refer_to_none',
    'refer_to_several',
    'render_scene',
    'resolve',
    'sample_scene',
    'split_config',
    'visible_fractions',
    'write_png',
    'write_refcoco',
]
