"""Metrics of grounded masks, while a model runs; flmm.scoring has what they count, and scores files."""

from flmm.evaluation.dump_predictions import DumpPredictions
from flmm.evaluation.dump_video_masks import DumpVideoMasks
from flmm.evaluation.grounded_frames import pictures_of
from flmm.evaluation.grounding_metric import GroundingMetric
from flmm.evaluation.head_scores import best_threshold_iou, elbow, selection_frequency, spatial_entropy
from flmm.evaluation.ref_davis_metric import RefDavisMetric
from flmm.evaluation.video_metric import VideoMetric
from flmm.phrase_scores import phrase_scores
from flmm.scoring import PhraseScore, align_rows, format_table, write_metrics

__all__ = [
    'DumpPredictions',
    'DumpVideoMasks',
    'GroundingMetric',
    'PhraseScore',
    'RefDavisMetric',
    'VideoMetric',
    'align_rows',
    'best_threshold_iou',
    'elbow',
    'format_table',
    'phrase_scores',
    'pictures_of',
    'selection_frequency',
    'spatial_entropy',
    'write_metrics',
]
