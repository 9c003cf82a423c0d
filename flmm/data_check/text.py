"""The report as text."""

from collections.abc import Sequence

from flmm.data_check.problems import ERRORS, WARNINGS, Problems
from flmm.data_check.summary import DISTRIBUTIONS, Summary
from flmm.evaluation import align_rows
from flmm.plain_text import printable

COLUMNS = ('images', 'items', 'phrases', 'no target', 'several targets', 'thing', 'stuff', 'plural')
MEASURES = {
    'width': 'width',
    'height': 'height',
    'share': 'mask in %',
    'length': 'phrase tokens',
    'phrases': 'phrases an image',
    'image_tokens': 'image tokens',
}
NUM_SHOWN = 5
"""Problems of a kind."""


def format_report(summaries: Sequence[Summary], problems: Problems) -> str:
    """Lay out counts, measures and problems; of many problems of a kind the first."""
    parts = []
    if summaries:
        columns = [name for name in COLUMNS if any(summary.counts[name] for summary in summaries)]
        rows = [[printable(summary.label), *(str(summary.counts[name]) for name in columns)] for summary in summaries]
        parts.append(align_rows([['dataset', *columns], *rows]))
        parts.append(_measures(summaries))
    kinds = [f'  {summary.label}: {_listed(summary.kinds)}' for summary in summaries if summary.kinds]
    if kinds:
        parts.append('\n'.join(['kinds of phrases', *map(printable, kinds)]))
    for word, known in (('error', ERRORS), ('warning', WARNINGS)):
        for kind, meaning in known.items():
            if problems.counts[kind]:
                parts.append(f'{word}: {kind} ({problems.counts[kind]}): {meaning}\n{_messages(problems, kind)}')
    verdict = 'problems found' if problems.num_errors else 'sound'
    parts.append(f'{verdict}: {problems.num_errors} errors, {problems.num_warnings} warnings')
    return '\n\n'.join(parts)


def _measures(summaries: Sequence[Summary]) -> str:
    rows = [['least | median | most', *MEASURES.values()]]
    for summary in summaries:
        measures = summary.to_json()['measures']
        cells = [_in_short(measures.get(DISTRIBUTIONS[name])) for name in MEASURES]
        rows.append([printable(summary.label), *cells])
    return align_rows(rows)


def _in_short(quantiles: dict[str, float] | None) -> str:
    if quantiles is None:
        return '-'
    return ' | '.join(f'{quantiles[name]:.3g}' for name in ('least', 'median', 'most'))


def _listed(counts: dict[str, int]) -> str:
    return ', '.join(f'{name} {count}' for name, count in counts.items())


def _messages(problems: Problems, kind: str) -> str:
    shown = [problem for problem in problems.kept if problem.kind == kind][:NUM_SHOWN]
    lines = [f'  {", ".join(problem.datasets)}: {problem.message}' for problem in shown]
    more = problems.counts[kind] - len(shown)
    return '\n'.join([*map(printable, lines), *([f'  and {more} more'] if more else [])])
