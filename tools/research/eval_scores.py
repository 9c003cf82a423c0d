"""Compare the IoU that SAM expects of its masks with the IoU that they have.

    python tools/research/eval_scores.py configs/shapes/demo.py work_dirs/demo/epoch_1.pth

Over the phrases of all test sets of a config that have a target. Spearman's rank correlation is 1 where a better mask
always has a higher score, and 0 where scores say nothing of which mask is better.
The constant is the median IoU, which no other constant beats.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--work-dir', default='work_dirs/eval_scores', help='for the log')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Not above: --help answers at once.
    import torch
    from scipy.stats import spearmanr

    from flmm.config import read_config
    from flmm.engine.runner_from_args import build_runner
    from flmm.phrase_scores import phrase_scores

    settings = {'work_dir': args.work_dir, 'launcher': 'none', 'load_from': args.checkpoint, 'log_level': 'WARNING'}
    runner = build_runner(read_config(args.config, settings))
    runner.load_or_resume()
    runner.model.eval()
    expected, ious = [], []
    for batch in runner.test_dataloader:
        with torch.inference_mode():
            samples = runner.model.test_step(batch)
        for sample in samples:
            refined = [score for score in phrase_scores(sample) if score.source == 'refined']
            for score, phrase in zip(sample.sam_scores.tolist(), refined, strict=True):
                if phrase.has_target:
                    expected.append(score)
                    ious.append(phrase.iou)
    expected, ious = torch.tensor(expected), torch.tensor(ious)
    print(f'{len(ious)} phrases: mean score {expected.mean():.3f}, mean IoU {ious.mean():.3f}')
    constant = (ious - ious.median()).abs().mean()
    print(f'mean distance {(expected - ious).abs().mean():.3f}, of a constant {constant:.3f}')
    print(f'rank correlation {spearmanr(expected, ious).statistic:.2f}')


if __name__ == '__main__':
    main()
