"""Metrics of grounded masks."""

from flmm.evaluation.dump_predictions import DumpPredictions
from flmm.evaluation.grounding_metric import GroundingMetric, PhraseScore, phrase_scores
from flmm.evaluation.table import format_table

__all__ = ['DumpPredictions', 'GroundingMetric', 'PhraseScore', 'format_table', 'phrase_scores']
