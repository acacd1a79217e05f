"""Two settings' scores of the same queries come in; their mean difference and its interval go out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SEED = 0
BLOCK = 2**22  # draws held at once
LEAST_QUERIES = 6  # with fewer, even a sign test of which all agree can't reject at 5 %: 2 / 2**5 is 0.06


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval, and whether that leaves out zero over enough queries to tell."""

    mean: float
    low: float
    high: float
    beyond_noise: bool


def paired_bootstrap(scores: Sequence[float] | np.ndarray, baseline: Sequence[float] | np.ndarray) -> Difference:
    """Return the mean of `scores` less `baseline`, which hold the same queries in the same order.

    The interval is the percentile bootstrap's over the paired differences (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13; for retrieval: Sakai, SIGIR 2006): queries are drawn with replacement, 10,000 times
    with a fixed seed. It is somewhat too narrow for under about 20 queries.
    """
    differences = np.asarray(scores, dtype=float) - np.asarray(baseline, dtype=float)
    means = np.concatenate([differences[drawn].mean(axis=1) for drawn in _draws(len(differences))])
    return _difference(float(differences.mean()), means, len(differences))


def paired_ratios(scores: Sequence[tuple[float, float]], baseline: Sequence[tuple[float, float]]) -> Difference:
    """Return the ratio of sums of `scores` less that of `baseline`: (numerator, denominator) of the same queries.

    The interval is paired_bootstrap's, each ratio taken anew over the drawn queries; those that neither ratio counts
    are not drawn, and a draw that leaves a ratio nothing to divide by is left out.
    """
    both = np.hstack([np.asarray(scores, dtype=float), np.asarray(baseline, dtype=float)])
    both = both[(both[:, 1] > 0) | (both[:, 3] > 0)]
    sums = np.concatenate([both[drawn].sum(axis=1) for drawn in _draws(len(both))])
    sums = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)]
    whole = both.sum(axis=0)
    mean = float(whole[0] / whole[1] - whole[2] / whole[3])
    return _difference(mean, sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3], len(both))


def _draws(count: int) -> Iterator[np.ndarray]:
    """Yield the rows of 10,000 resamples of `count`, a block of resamples at a time."""
    random = np.random.default_rng(SEED)
    rows = max(1, BLOCK // count)
    for done in range(0, RESAMPLES, rows):
        yield random.integers(0, count, (min(rows, RESAMPLES - done), count))


def _difference(mean: float, resampled: np.ndarray, count: int) -> Difference:
    low, high = (float(edge) for edge in np.percentile(resampled, (2.5, 97.5)))
    beyond = count >= LEAST_QUERIES and (low > 1e-12 or high < -1e-12)  # sums of equal scores differ in the last bit
    return Difference(mean, low, high, beyond)
