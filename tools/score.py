"""Score a file of predictions, without model or GPU; --compare sets it against another file.

    python tools/score.py predictions.jsonl predictions.truth.jsonl --json scores.json
    python tools/score.py a.jsonl a.truth.jsonl --compare b.jsonl --out compared --images data/coco/train2014

docs/evaluation.md has the formats and the metrics.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flmm.atomic_write import open_atomic
from flmm.files import prepare_output
from flmm.plain_text import for_terminal
from flmm.scoring import (
    NUM_BOOTSTRAP,
    ComparedPhrase,
    compare,
    count_outcomes,
    format_table,
    grounding_metrics,
    match_lines,
    read_predictions,
    read_truths,
    score_pairs,
    write_metrics,
)
from flmm.scoring.matching import Pair

NAMES = ('A', 'B')
NUM_PICTURES = 12
"""Most rows of a page of wins, and of one of losses."""


def nested(metrics: Mapping[str, float], test_set: str) -> dict[str, Any]:
    """Take the metrics of a test set under their own names, those of coarse masks in 'coarse'."""
    figures: dict[str, Any] = {}
    coarse: dict[str, Any] = {}
    for source, place in (('refined', figures), ('coarse', coarse)):
        prefix = f'{test_set}/{source}/'
        place.update((key.removeprefix(prefix), value) for key, value in metrics.items() if key.startswith(prefix))
    return {**figures, 'coarse': coarse} if coarse else figures


def score(pairs: Sequence[Pair], *, test_set: str) -> dict[str, dict[str, float]]:
    """Compute the metrics of each test set, with the intervals that tools/test.py has."""
    found: dict[str, list[Pair]] = {}
    for prediction, truth in pairs:
        found.setdefault(truth.test_set or test_set, []).append((prediction, truth))
    return {
        name: grounding_metrics(list(score_pairs(members, test_set=name)), num_bootstrap=NUM_BOOTSTRAP)
        for name, members in found.items()
    }


def flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {key: value for figures in metrics.values() for key, value in figures.items()}


def write_compared(compared: Sequence[ComparedPhrase], path: Path) -> None:
    """Write a line for each phrase, from the one that is won by most to the one that is lost by most."""
    with open_atomic(path) as file:
        for phrase in compared:
            named = {} if phrase.truth.test_set is None else {'test_set': phrase.truth.test_set}
            named |= {'image': phrase.truth.image, 'phrase': phrase.truth.phrase, 'outcome': phrase.outcome}
            file.write(json.dumps({**named, 'iou': phrase.ious[0], 'other_iou': phrase.ious[1]}).encode() + b'\n')


def draw_compared(compared: Sequence[ComparedPhrase], args: argparse.Namespace) -> None:
    """Draw the largest wins and losses."""
    from flmm.visualization import compared_page, draw_page, save_figure  # here: scoring alone needs no torch

    for outcome, ordered in (('won', compared), ('lost', compared[::-1])):
        chosen = [phrase for phrase in ordered if phrase.outcome == outcome][:NUM_PICTURES]
        path = args.out / f'{outcome}.png'
        path.unlink(missing_ok=True)  # of an earlier comparison
        if chosen:
            page = compared_page(chosen, names=NAMES, images=args.images, orientation=args.orientation)
            save_figure(draw_page(page), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('predictions', help='file of predictions, one JSON object a line')
    parser.add_argument('truth', type=Path, help='file of truths')
    parser.add_argument('--json', help='write the metrics to this file, in percent')
    parser.add_argument('--compare', help='another file of predictions for the same truths')
    parser.add_argument('--out', type=Path, help='folder for won_lost.jsonl and pictures; --compare needs it')
    parser.add_argument('--images', help='folder that the images lie in; without it, their names are paths')
    parser.add_argument('--orientation', choices=['refuse', 'apply', 'ignore'], default='refuse', help='EXIF of images')
    parser.add_argument('--margin', type=float, default=0.01, help='IoU by which phrases must differ to be won or lost')
    args = parser.parse_args()
    if (args.compare is None) != (args.out is None):
        parser.error('--compare and --out need each other')
    for option, path in (('--json', args.json), ('--out', args.out and args.out / 'won_lost.jsonl')):
        if path is not None:
            prepare_output(path, setting=option)
    truths = read_truths(args.truth)
    pairs = match_lines(read_predictions(args.predictions), truths)
    metrics = score(pairs, test_set=args.truth.name)
    if args.json:
        figures = {name: nested(found, name) for name, found in metrics.items()}
        write_metrics(figures if truths[0].test_set is not None else figures[args.truth.name], args.json)
    if args.compare is None:
        print(for_terminal(format_table(flat(metrics))))
        return
    others = match_lines(read_predictions(args.compare), truths)
    print(for_terminal(f'A is {args.predictions}, B is {args.compare}\n'))
    print(for_terminal(format_table(flat(metrics), flat(score(others, test_set=args.truth.name)), names=NAMES)))
    compared = compare(pairs, others, margin=args.margin)
    write_compared(compared, args.out / 'won_lost.jsonl')
    counts = ', '.join(f'{number} {outcome}' for outcome, number in count_outcomes(compared).items())
    print(f'\nphrases that A has against B, by refined IoU: {counts} (within {args.margin:g})')
    draw_compared(compared, args)


if __name__ == '__main__':
    main()
