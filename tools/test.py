"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [--out predictions.json] [--show-dir pictures]``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.runner import unwrapped_model
from flmm.engine.runner_from_args import add_runner_arguments, build_runner, load_config
from flmm.evaluation import format_table, write_metrics


class ResultsHook(Hook):
    """Writes metrics.json to the work dir and prints the table as soon as there are metrics, before any picture.

    Attributes:
        error: what kept some of the metrics out of the file, to be raised when all else is done.
    """

    priority = 'VERY_HIGH'
    error: ValueError | None = None

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Write and print ``metrics``."""
        try:
            write_metrics(metrics, Path(runner.work_dir, 'metrics.json'))
        except ValueError as error:
            self.error = error
            runner.logger.error(str(error))
        finally:
            encoding = sys.stdout.encoding or 'utf-8'  # a terminal may lack letters of a test set's name
            print(format_table(metrics).encode(encoding, 'backslashreplace').decode(encoding))


def with_metric(evaluator: Any, metric: dict[str, Any]) -> Any:
    """Add a metric to what mmengine takes for an evaluator: one, a list of them, or the config of an Evaluator."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        return {**evaluator, 'metrics': with_metric(evaluator['metrics'], metric)}
    return [*(evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]), metric]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_runner_arguments(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of the trainable part; none where nothing is trained')
    parser.add_argument('--out', help='write every prediction to this .json file')
    parser.add_argument('--show-dir', help='write pictures of predictions to this folder')
    args = parser.parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    if args.out:
        dump = {'type': 'DumpPredictions', 'out_file_path': args.out}
        config.test_evaluator = with_metric(config.test_evaluator, dump)
    if args.show_dir:
        hook = {'type': 'VisualizationHook', 'out_dir': args.show_dir}
        config.custom_hooks = [*(config.get('custom_hooks') or []), hook]
    runner = build_runner(config)
    if args.checkpoint is None and unwrapped_model(runner).is_trained:
        raise ValueError(f'{args.config} has a part that is trained; give its checkpoint')
    results = ResultsHook()
    runner.register_hook(results)
    runner.test()
    if results.error:
        raise results.error


if __name__ == '__main__':
    main()
