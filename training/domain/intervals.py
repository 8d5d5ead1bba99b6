"""95 % intervals of evaluation figures. Standard library and numpy only: scipy is not a dependency of the application.

Prompts are the sampling unit: what is measured several times on one prompt is resampled together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.domain.agreement import IntervalEstimate, bootstrap_counts, percentile_interval

Z_95: Final = 1.959963984540054
#: Bootstrap draws. The percentiles of a figure of 200 prompts then vary by about 2 % of the interval between seeds.
DRAWS: Final = 1000

Interval = tuple[float, float]


def wilson_interval(successes: float, n: int) -> Interval | None:
    """Return Wilson's 95 % score interval of the share ``successes / n``; ``None`` for n = 0.

    It is for outcomes with two values. For wins, ties and losses see :func:`win_rate_interval`.
    """
    if n == 0:
        return None
    share, square = successes / n, Z_95**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def win_rate_interval(wins: int, ties: int, losses: int) -> Interval | None:
    """Return the 95 % interval of the win rate (wins + ties / 2) / n; ``None`` for n = 0.

    The win rate is (1 + d) / 2, where d is the paired difference of the shares of prompts won and lost. The interval of
    d is Tango's score interval (Tango 1998, "Equivalence test and confidence interval for the difference in proportions
    for the paired-sample design", Statistics in Medicine 17). It uses the variance of the paired difference, to which a
    tie adds nothing: Wilson's interval, which takes a tie for half a win and half a loss, is up to several times wider.
    For many prompts it equals the bootstrap over prompts; unlike it, and unlike the normal interval, it also holds for
    few prompts, and does not shrink to a point if all outcomes are alike.
    """
    n = wins + ties + losses
    if n == 0:
        return None
    difference = (wins - losses) / n
    low, high = (_tango_bound(wins, losses, n, difference, end) for end in (-1.0, 1.0))
    return (1 + low) / 2, (1 + high) / 2


def _tango_bound(wins: int, losses: int, n: int, inside: float, outside: float) -> float:
    """Return the bound between the estimate ``inside`` and the end ``outside``, where |Z(d)| is the 97.5 % quantile."""
    for _ in range(60):  # bisection to the precision of a float
        middle = (inside + outside) / 2
        if abs(_tango_statistic(wins, losses, n, middle)) <= Z_95:
            inside = middle
        else:
            outside = middle
    return inside


def _tango_statistic(wins: int, losses: int, n: int, d: float) -> float:
    """Return Z(d) for the hypothesis that the shares of wins and losses differ by d (Tango 1998)."""
    linear = wins + losses - (2 * n - wins + losses) * d
    # The maximum likelihood estimate of the share of losses under the hypothesis.
    share = (math.sqrt(max(linear**2 + 8 * n * losses * d * (1 - d), 0.0)) + linear) / (4 * n)
    difference, variance = wins - losses - n * d, n * (2 * share + d * (1 - d))
    if variance <= 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def mean_interval(values: Sequence[float], *, draws: int = DRAWS, seed: int = 1) -> tuple[float | None, float | None]:
    """Return the 95 % percentile bootstrap interval of the mean of one value per prompt.

    The bounds are the 2.5th and the 97.5th percentile of the means of ``draws`` bootstrap samples (Efron & Tibshirani
    1993, section 13.3). The seed is fixed, so the result is reproducible. Returns ``(None, None)`` for fewer than two
    values.
    """
    n = len(values)
    if n < 2:
        return None, None
    return percentile_interval(bootstrap_counts(n, draws, seed) @ np.asarray(values, dtype=float) / n)


def paired_difference(
    before: Sequence[float], after: Sequence[float], *, draws: int = DRAWS, seed: int = 1
) -> IntervalEstimate:
    """Return the mean of ``after`` minus ``before``, one value of each per prompt, with the paired bootstrap interval.

    Each draw takes the same prompts for both, so that the difficulty of a prompt does not widen the interval (Efron &
    Tibshirani 1993, section 13.3, on the differences). Raises :class:`ValueError` if the lengths differ.
    """
    differences = [new - old for old, new in zip(before, after, strict=True)]
    if not differences:
        return IntervalEstimate(None, None, None, 0)
    low, high = mean_interval(differences, draws=draws, seed=seed)
    return IntervalEstimate(sum(differences) / len(differences), low, high, len(differences))


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], *, draws: int = DRAWS, seed: int = 1
) -> IntervalEstimate:
    """Return the sum of ``parts`` divided by the sum of ``wholes`` with a bootstrap interval over prompts.

    Args:
        parts, wholes: sums per prompt, such as correctly ordered pairs and pairs. A mean over prompts has wholes of 1.

    Prompts with a whole of 0 do not count. The value is ``None`` without any, and the interval with fewer than two.
    """
    part, whole = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    part, whole = part[whole > 0], whole[whole > 0]
    n = len(whole)
    if not n:
        return IntervalEstimate(None, None, None, 0)
    value = float(part.sum() / whole.sum())
    if n < 2:
        return IntervalEstimate(value, None, None, n)
    counts = bootstrap_counts(n, draws, seed)
    return IntervalEstimate(value, *percentile_interval(counts @ part / (counts @ whole)), n)


def share_interval(
    parts: Sequence[float], wholes: Sequence[float], *, draws: int = DRAWS, seed: int = 1
) -> IntervalEstimate:
    """Return :func:`ratio_interval` for a share, where no part exceeds its whole.

    If all prompts have the share 0, or all the share 1, every bootstrap sample has it too, which would make the
    interval a point. It is then Wilson's interval with the prompts as trials, the same as for one row per prompt.
    """
    estimate = ratio_interval(parts, wholes, draws=draws, seed=seed)
    if estimate.value not in (0.0, 1.0) or not estimate.items:
        return estimate
    low, high = wilson_interval(estimate.value * estimate.items, estimate.items) or (None, None)
    return IntervalEstimate(estimate.value, low, high, estimate.items)


#: 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom.
_T_975: Final = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)


def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to five digits, for at least one degree of freedom.

    Above 10 degrees it is the expansion of Abramowitz & Stegun (1964), 26.7.5.
    """
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z, v = Z_95, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


@dataclass(frozen=True, slots=True)
class SeedEstimate:
    """A figure over runs that differ only in their seed.

    ``spread`` is the standard deviation between runs (n - 1 in the denominator). ``low`` and ``high`` bound the 95 %
    interval of the mean by Student's t. All three are ``None`` for a single run.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    seeds: int


def over_seeds(values: Sequence[float]) -> SeedEstimate | None:
    """Return mean, spread and interval over one value per seed; ``None`` without values."""
    n = len(values)
    if not n:
        return None
    mean = sum(values) / n
    if n < 2:
        return SeedEstimate(mean, None, None, None, n)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return SeedEstimate(mean, spread, mean - half, mean + half, n)
