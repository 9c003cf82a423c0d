"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [--out predictions.jsonl] [--show-dir pictures]``."""

import argparse
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.run_record import run_record
from flmm.engine.runner import unwrapped_model
from flmm.engine.runner_from_args import add_runner_arguments, build_runner, load_config
from flmm.registry import METRICS
from flmm.scoring import write_metrics


class ResultsHook(Hook):
    """Writes metrics.json to the work dir as soon as there are metrics, before any picture.

    Args:
        run: what the run was (:func:`flmm.engine.run_record.run_record`), written beside the metrics.

    Attributes:
        error: what kept some of the metrics out of the file, to be raised when all else is done.
    """

    priority = 'VERY_HIGH'
    error: ValueError | None = None

    def __init__(self, run: dict[str, Any]) -> None:
        self.run = run

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Write ``metrics``; the table of them is logged by :class:`flmm.engine.TableLoggerHook`."""
        try:
            write_metrics({**metrics, 'run': self.run}, Path(runner.work_dir, 'metrics.json'))
        except ValueError as error:
            self.error = error
            runner.logger.error(str(error))


def with_metric(evaluator: Any, metric: dict[str, Any]) -> Any:
    """Add a metric to what mmengine takes for an evaluator: one, a list of them, or the config of an Evaluator."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        return {**evaluator, 'metrics': with_metric(evaluator['metrics'], metric)}
    return [*(evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]), metric]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_runner_arguments(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of the trainable part; none for models without one')
    parser.add_argument('--out', help='write predictions to this .jsonl file, and the truth to .truth.jsonl beside it')
    parser.add_argument('--show-dir', help='write pictures of predictions to this folder')
    args = parser.parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    run = run_record(config=args.config, cfg_options=args.cfg_options, checkpoint=args.checkpoint)
    if args.out:
        dump = {'type': 'DumpPredictions', 'out_file_path': args.out}
        METRICS.build(dump)  # refuses a place where nothing can be written, before the model is built
        config.test_evaluator = with_metric(config.test_evaluator, dump)
    if args.show_dir:
        hook = {'type': 'VisualizationHook', 'out_dir': args.show_dir}
        config.custom_hooks = [*(config.get('custom_hooks') or []), hook]
    runner = build_runner(config)
    trained = unwrapped_model(runner).state_dict()
    if args.checkpoint is None and trained:
        raise ValueError(
            f'no checkpoint was given, but the model of {args.config!r} has a trained part ({len(trained)} weights, '
            f'such as {next(iter(trained))!r}); name its checkpoint behind the config'
        )
    results = ResultsHook({**run, 'seed': runner.seed})
    runner.register_hook(results)
    runner.test()
    if results.error:
        raise results.error


if __name__ == '__main__':
    main()
