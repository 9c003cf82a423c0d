"""mmengine's LoggerHook, which logs the results of a test as a table."""

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

from flmm.plain_text import for_terminal
from flmm.registry import HOOKS
from flmm.scoring import format_table


@HOOKS.register_module()
class TableLoggerHook(LoggerHook):
    """Logs what mmengine's LoggerHook does, and takes its arguments; but the results of a test become a table.

    mmengine writes all metrics on one line, which for a dozen test sets and their intervals has tens of thousands of
    characters. The table (:func:`flmm.scoring.format_table`) has fewer; tools/test.py writes all to metrics.json.
    """

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Log ``metrics``, on the screen and in the log file."""
        runner.logger.info(for_terminal(f'results in percent\n{format_table(metrics or {})}'))
