"""How far two distributions are apart: the size of the difference, and how likely chance makes one of that size.

Sizes are judged by limits in the configuration; a probability only keeps small samples from being taken for drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
# Rows that a bin holds on average at least, else fewer bins are taken.
ROWS_A_BIN = 10


def psi(before: Sequence[float] | NDArray[Any], now: Sequence[float] | NDArray[Any]) -> float:
    """The population stability index of two lists of counts over the same bins.

    The sum over bins of (now - before) × ln(now / before) of the shares; half a row is added to each bin, as a bin without
    any would make it infinite. Source: Siddiqi 2006, Credit Risk Scorecards; Yurdakul 2018, Statistical Properties of PSI.
    """
    one, two = shares(before), shares(now)
    return float(np.sum((two - one) * np.log(two / one)))


def shares(counts: Sequence[float] | NDArray[Any]) -> NDArray[Any]:
    """Counts as shares that sum to 1, after half a row is added to each."""
    smooth = np.asarray(counts, dtype=float) + 0.5
    return np.asarray(smooth / smooth.sum())


def psi_chance(value: float, bins: int, before: int, now: int) -> float:
    """The probability that chance gives a PSI of at least `value`, for numbers of rows before and now (Yurdakul 2018).

    Without drift, PSI / (1 / before + 1 / now) follows a chi-square distribution with bins - 1 degrees of freedom.
    """
    from scipy.stats import chi2

    return float(chi2.sf(value / (1 / before + 1 / now), max(1, bins - 1)))


def bin_edges(reference: NDArray[Any], rows: int) -> NDArray[Any]:
    """The inner edges of bins that hold equally many reference values, fewer where `rows` or distinct values are few."""
    number = int(np.clip(min(len(reference), rows) // ROWS_A_BIN, 2, BINS))
    return np.unique(np.quantile(reference, np.arange(1, number) / number, method="inverted_cdf"))


def bin_counts(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    """How many values lie in each bin; a value on an edge belongs to the bin below it."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def ks(reference: NDArray[Any], now: NDArray[Any], rows: int) -> tuple[float, float]:
    """The Kolmogorov–Smirnov distance and its probability by chance, `rows` being how many the reference stands for."""
    from scipy.stats import ks_2samp, kstwo

    distance = float(ks_2samp(reference, now, method="asymp").statistic)
    effective = max(1, round(rows * len(now) / (rows + len(now))))
    return distance, float(kstwo.sf(distance, effective))


def shift(reference: NDArray[Any], now: NDArray[Any], deviation: float) -> float | None:
    """The Wasserstein distance in standard deviations of the reference; None where the reference does not vary."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(reference, now) / deviation) if deviation > 0 else None


def jensen_shannon(before: Sequence[float] | NDArray[Any], now: Sequence[float] | NDArray[Any]) -> float:
    """The Jensen–Shannon distance of two lists of counts: 0 for alike, 1 for nothing in common."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(before, now, base=2))


def chi_square_chance(before: Sequence[float] | NDArray[Any], now: Sequence[float] | NDArray[Any]) -> float:
    """The probability by chance of two lists of counts over the same categories (chi-square test of homogeneity)."""
    from scipy.stats import chi2_contingency

    counts = np.asarray([before, now], dtype=float)
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0


def rise_chance(count: int, rows: int, count_before: int, rows_before: int) -> float:
    """The probability by chance of a share that has risen this much (Fisher's exact test, one-sided)."""
    from scipy.stats import fisher_exact

    table = [[count, rows - count], [count_before, rows_before - count_before]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def block_interval(
    measure: Callable[[NDArray[Any]], float], rows: int, resamples: int, block: int, seed: int, level: float
) -> tuple[float, float]:
    """The interval of a measure of rows at a level, over resamples of moving blocks of neighbours (Künsch 1989).

    measure: takes the indexes of rows. Not a number at both ends where the measure is none on any resample.
    """
    random = np.random.default_rng(seed)
    block = min(block, rows)
    starts = random.integers(0, rows - block + 1, (resamples, -(-rows // block)))
    values = np.array([measure((start[:, None] + np.arange(block)).ravel()[:rows]) for start in starts])
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def over_categories(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The counts of both over the categories of either, in the same order; rare ones of both are taken together.

    A category with fewer than five rows in the pooled table says nothing on its own (Cochran's rule for chi-square).
    """
    names = sorted({*before, *now}, key=lambda name: (-before.get(name, 0), name))
    common = [name for name in names if before.get(name, 0) + now.get(name, 0) >= 5]
    rare = [name for name in names if name not in set(common)]
    one, two = ([counts.get(name, 0) for name in common] for counts in (before, now))
    if rare:
        one.append(sum(before.get(name, 0) for name in rare))
        two.append(sum(now.get(name, 0) for name in rare))
    return np.asarray(one, dtype=float), np.asarray(two, dtype=float)
