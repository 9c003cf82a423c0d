"""Scores of masks and files of them, without torch, model or GPU: numpy and pycocotools alone."""

from flmm.scoring.comparison import ComparedPhrase, compare, count_outcomes
from flmm.scoring.matching import match_lines, score_pairs
from flmm.scoring.metrics import NUM_BOOTSTRAP, grounding_metrics
from flmm.scoring.metrics_file import write_metrics
from flmm.scoring.phrase_score import PhraseScore
from flmm.scoring.predictions_file import Prediction, Truth, read_predictions, read_truths
from flmm.scoring.table import IN_PAPERS, align_rows, format_table

__all__ = [
    'IN_PAPERS',
    'NUM_BOOTSTRAP',
    'ComparedPhrase',
    'PhraseScore',
    'Prediction',
    'Truth',
    'align_rows',
    'compare',
    'count_outcomes',
    'format_table',
    'grounding_metrics',
    'match_lines',
    'read_predictions',
    'read_truths',
    'score_pairs',
    'write_metrics',
]
