"""Scores of masks and files of them, without torch, model or GPU: numpy and pycocotools alone."""

from flmm.scoring.comparison import ComparedPhrase, compare, count_outcomes
from flmm.scoring.davis_unsupervised import LabelledVideo
from flmm.scoring.matching import match_lines, score_pairs
from flmm.scoring.metrics import NUM_BOOTSTRAP, grounding_metrics
from flmm.scoring.metrics_file import write_metrics
from flmm.scoring.phrase_score import PhraseScore
from flmm.scoring.predictions_file import Prediction, Truth, read_predictions, read_truths
from flmm.scoring.region_and_contour import contour_accuracy, region_similarity
from flmm.scoring.table import IN_PAPERS, align_rows, format_table
from flmm.scoring.video_metrics import VideoScore, video_metrics

__all__ = [
    'IN_PAPERS',
    'NUM_BOOTSTRAP',
    'ComparedPhrase',
    'LabelledVideo',
    'PhraseScore',
    'Prediction',
    'Truth',
    'VideoScore',
    'align_rows',
    'compare',
    'contour_accuracy',
    'count_outcomes',
    'format_table',
    'grounding_metrics',
    'match_lines',
    'read_predictions',
    'read_truths',
    'region_similarity',
    'score_pairs',
    'video_metrics',
    'write_metrics',
]
