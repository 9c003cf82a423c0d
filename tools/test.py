"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [--out predictions.json] [--show-dir pictures]``."""

import argparse
import json
from pathlib import Path

from flmm.engine.runner_from_args import add_runner_arguments, build_runner, load_config
from flmm.evaluation import format_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_runner_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the trainable part')
    parser.add_argument('--out', help='write every prediction to this .json file')
    parser.add_argument('--show-dir', help='write pictures of predictions to this folder')
    args = parser.parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    if args.out:
        dump = {'type': 'DumpPredictions', 'out_file_path': args.out}
        evaluators = config.test_evaluator
        config.test_evaluator = [*(evaluators if isinstance(evaluators, list) else [evaluators]), dump]
    if args.show_dir:
        hook = {'type': 'VisualizationHook', 'out_dir': args.show_dir}
        config.custom_hooks = [*config.get('custom_hooks', []), hook]
    runner = build_runner(config)
    metrics = runner.test()
    if runner.rank == 0:
        Path(config.work_dir, 'metrics.json').write_text(json.dumps(metrics, indent=2))
        print(format_table(metrics))


if __name__ == '__main__':
    main()
