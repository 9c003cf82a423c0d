"""What is counted over all images: how many, how large, how long; and which images train and test sets share."""

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch.utils.data import DataLoader
from tqdm import tqdm

from flmm.data_check.findings import ImageFindings
from flmm.data_check.images import ImageChecks
from flmm.data_check.problems import Problem, Problems
from flmm.data_check.sources import Source

DISTRIBUTIONS = {
    'width': 'image width in px',
    'height': 'image height in px',
    'share': 'area of a mask in percent of the image',
    'length': 'tokens of a phrase',
    'phrases': 'phrases of an image',
    'image_tokens': 'image tokens',
}
"""What is measured, by name."""
QUANTILES = {'least': 0, '5 %': 0.05, 'median': 0.5, '95 %': 0.95, 'most': 1}
IMAGES_AT_ONCE = 16
"""That a process checks before it reports."""


@dataclass(kw_only=True)
class Summary:
    """Counts and measures of one dataset.

    ``counts`` has images (those that several items share once), items, phrases (each text that may be drawn), no
    target, several targets (where annotations tell), thing, stuff, plural. ``values`` has a list for each of
    :data:`DISTRIBUTIONS`.
    """

    label: str
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in DISTRIBUTIONS})

    def add(self, findings: ImageFindings, number: int) -> None:
        """Count an image, if dataset ``number`` has it."""
        items = [item for item in findings.items if item.source == number]
        if not items:
            return
        infos = [info for item in items for info in item.infos]
        self.counts['images'] += 1
        self.counts['items'] += len(items)
        self.counts['phrases'] += len(infos)
        self.counts['no target'] += sum(item.num_no_target for item in items)
        self.counts['several targets'] += sum(item.num_several for item in items)
        self.counts['thing'] += sum(info.thing is True for info in infos)
        self.counts['stuff'] += sum(info.thing is False for info in infos)
        self.counts['plural'] += sum(info.plural is True for info in infos)
        self.kinds.update(info.kind for info in infos if info.kind is not None)
        self.values['phrases'].append(len(infos))
        if findings.size is not None:
            self.values['height'].append(findings.size[0])
            self.values['width'].append(findings.size[1])
        if items[0].image_tokens is not None:
            self.values['image_tokens'].append(items[0].image_tokens)
        for item in items:
            self.values['share'] += [100 * share for share in item.shares]
            self.values['length'] += item.lengths

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and of each measure some quantiles."""
        measures = {
            DISTRIBUTIONS[name]: {
                quantile: round(float(np.quantile(values, part)), 4) for quantile, part in QUANTILES.items()
            }
            for name, values in self.values.items()
            if values
        }
        return {'counts': dict(self.counts), 'kinds': dict(self.kinds), 'measures': measures}


def check_images(
    sources: Sequence[Source], problems: Problems, *, headers_only: bool = False, num_workers: int = 0
) -> list[Summary]:
    """Check every image of some datasets, with a progress bar; add what is wrong to ``problems``.

    Args:
        sources: The datasets that :func:`flmm.data_check.find_sources` found.
        problems: those found so far.
        headers_only: True reads no pixels: damage behind the header of a picture is not found, nor are equal images of
            different names.
        num_workers: processes beside this one.

    Returns:
        A summary for each dataset.
    """
    summaries = [Summary(label=source.label) for source in sources]
    owners: dict[bytes | str, set[int]] = {}
    checks = ImageChecks(sources, headers_only=headers_only)
    loader = DataLoader(checks, batch_size=IMAGES_AT_ONCE, num_workers=num_workers, collate_fn=list)
    with tqdm(total=len(checks), unit='image') as progress:
        for batch in loader if len(checks) else ():
            for findings in batch:
                for problem in findings.problems:
                    problems.add(problem)
                for number, summary in enumerate(summaries):
                    summary.add(findings, number)
                owners.setdefault(findings.identity, set()).update(item.source for item in findings.items)
            progress.update(len(batch))
    for problem in shared(sources, owners.values(), what='images'):
        problems.add(problem)
    return summaries


class _Labelled(Protocol):
    label: str
    loader: str


def shared(sources: Sequence[_Labelled], owners: Iterable[set[int]], *, what: str) -> list[Problem]:
    """Name each pair of a train set and another with something in both.

    Args:
        sources: the datasets.
        owners: of each image or video the numbers of the datasets that have it.
        what: 'images' or 'videos', for messages.
    """
    pairs: collections.Counter[tuple[str, str]] = collections.Counter()
    for numbers in owners:
        found = [sources[number] for number in sorted(numbers)]
        train = [source.label for source in found if source.loader == 'train']
        pairs.update((own, other.label) for own in train for other in found if other.loader != 'train')
    return [
        Problem(
            kind='train and test',
            message=f'{pair[0]!r} and {pair[1]!r} share {what}: {count}; what was trained on is no test',
            datasets=pair,
        )
        for pair, count in pairs.items()
    ]
