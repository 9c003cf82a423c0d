"""How far a metric may be off by the choice of test images: 95 % intervals by the bootstrap."""

from collections.abc import Sequence

import numpy as np

SEED = 0
QUANTILES = (2.5, 97.5)
"""In percent: 95 % of the draws lie between."""
GRAIN = 2.0**-30
"""To which sums of an image are rounded: float64 then adds them up exactly, in any order, on any machine."""
CHUNK = 100
"""How many draws are held in memory at a time."""


def bootstrap_intervals(ratios: np.ndarray, images: Sequence[str], *, num_draws: int) -> np.ndarray:
    """Estimate the 95 % interval of each ratio of sums: the percentile bootstrap over images (arXiv 2307.10926).

    As many images as there are are drawn with replacement, again and again, from a fixed seed. Phrases of an image stay
    together, since they are right or wrong together. A draw in which a denominator is 0 says nothing of that ratio.

    Args:
        ratios: [K, 2, P] float, what each of P phrases adds to the numerator and the denominator of K ratios.
        images: P names of images.
        num_draws: how often a test set is drawn.

    Returns:
        [K, 2] float64, the lower and the upper end; nan where the ratio itself is undefined, or with a single image.
    """
    places = {image: place for place, image in enumerate(sorted(set(images)))}
    intervals = np.full((len(ratios), 2), np.nan)
    if len(places) == 1:
        return intervals
    index = np.array([places[image] for image in images])
    flat = ratios.reshape(-1, len(images))  # [2K, P]
    sums = np.stack([np.bincount(index, weights=row, minlength=len(places)) for row in flat])  # [2K, images]
    sums = np.round(sums / GRAIN) * GRAIN
    generator = np.random.default_rng(SEED)
    totals = np.concatenate(
        [
            generator.multinomial(len(places), np.full(len(places), 1 / len(places)), size=size) @ sums.T
            for size in (min(CHUNK, num_draws - start) for start in range(0, num_draws, CHUNK))
        ]
    ).reshape(num_draws, -1, 2)  # [draws, K, 2]
    defined = sums.reshape(-1, 2, len(places))[:, 1].any(axis=1)  # [K]
    with np.errstate(invalid='ignore'):  # 0 / 0, in draws that say nothing
        values = totals[:, defined, 0] / totals[:, defined, 1]
    intervals[defined] = np.nanpercentile(values, QUANTILES, axis=0).T
    return intervals
