"""Metrics of grounded masks."""

from flmm.evaluation.dump_predictions import DumpPredictions
from flmm.evaluation.grounding_metric import GroundingMetric
from flmm.evaluation.head_scores import best_threshold_iou, elbow, selection_frequency, spatial_entropy
from flmm.evaluation.metrics_file import write_metrics
from flmm.evaluation.table import align_rows, format_table
from flmm.phrase_scores import PhraseScore, phrase_scores

__all__ = [
    'DumpPredictions',
    'GroundingMetric',
    'PhraseScore',
    'align_rows',
    'best_threshold_iou',
    'elbow',
    'format_table',
    'phrase_scores',
    'selection_frequency',
    'spatial_entropy',
    'write_metrics',
]
