"""Judge–human agreement on blind scores: errors, correlations and calibration, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.domain.agreement import IntervalEstimate, bootstrap_counts, percentile_interval
from training.domain.metrics import ordered_pairs
from training.domain.scores import SCORE_DECIMALS

#: One prompt's responses as (judge's score, people's score), both 0 to 5.
Scored = Sequence[tuple[float, float]]
Measure = Literal["mean_error", "absolute_error", "kappa", "spearman", "pairwise"]

DRAWS = 500
POINTS = 6  # 0 to 5


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """People's mean score of the responses that the judge gave ``score``, rounded to whole points."""

    score: int
    people: float
    low: float | None
    high: float | None
    responses: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Agreement statistics. Errors are judge minus people, in points of 0 to 5.

    ``pairwise`` is the share of response pairs of one prompt that the judge orders as people do.
    """

    responses: int
    pairs: int
    mean_error: IntervalEstimate
    absolute_error: IntervalEstimate
    kappa: IntervalEstimate
    spearman: IntervalEstimate
    pairwise: IntervalEstimate
    curve: tuple[CurvePoint, ...]


def calibrate(prompts: Sequence[Scored], *, draws: int = DRAWS, seed: int = 1) -> Calibration:
    """Compute every statistic with a 95 % percentile bootstrap interval over prompts.

    κ has quadratic weights over scores rounded to whole points (Cohen 1968). ``pairwise`` leaves out pairs that people
    tie and counts a tie of the judge as half correct. An undefined statistic is ``None``.
    """
    sums = _Sums([prompt for prompt in prompts if prompt])
    weights = sums.weights(draws, seed)

    def figure(measure: Measure) -> IntervalEstimate:
        values = sums.of(measure, weights)
        return _estimate(values[0], values[1:], len(sums.error))

    return Calibration(
        responses=len(sums.judge),
        pairs=int(sums.pairs.sum()),
        mean_error=figure("mean_error"),
        absolute_error=figure("absolute_error"),
        kappa=figure("kappa"),
        spearman=figure("spearman"),
        pairwise=figure("pairwise"),
        curve=sums.curve(weights),
    )


def measure_change(
    before: Sequence[Scored], after: Sequence[Scored], measure: Measure, *, seed: int = 1
) -> IntervalEstimate:
    """Return the change of a statistic from one judge to another, with the interval of the paired difference.

    Args:
        before, after: the prompts of both judges, the same prompts in the same order. Each bootstrap draw takes the
            same prompts for both, so the difficulty of a prompt does not widen the interval.

    Raises :class:`ValueError` if the numbers of prompts differ.
    """
    if len(before) != len(after):
        raise ValueError("both judges must be given for the same prompts")
    both = [(one, other) for one, other in zip(before, after, strict=True) if one and other]
    first, second = _Sums([one for one, _ in both]), _Sums([other for _, other in both])
    weights = first.weights(DRAWS, seed)
    moved = second.of(measure, weights) - first.of(measure, weights)
    return _estimate(moved[0], moved[1:], len(both))


def mean_change(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], *, seed: int = 1
) -> IntervalEstimate:
    """Return the change of the mean value, paired by prompt as in :func:`measure_change`."""
    both = [(one, other) for one, other in zip(before, after, strict=True) if one and other]
    if not both:
        return IntervalEstimate(None, None, None, 0)
    weights = np.vstack([np.ones(len(both)), bootstrap_counts(len(both), DRAWS, seed)])
    means = []
    for side in zip(*both, strict=True):
        total, count = np.array([sum(row) for row in side]), np.array([len(row) for row in side], dtype=float)
        means.append(weights @ total / (weights @ count))
    moved = means[1] - means[0]
    return _estimate(moved[0], moved[1:], len(both))


def _estimate(value: float, draws: np.ndarray, items: int) -> IntervalEstimate:
    kept = draws[np.isfinite(draws)]
    low, high = percentile_interval(kept)
    return IntervalEstimate(float(value) if np.isfinite(value) else None, low, high, items)


class _Sums:
    """Sums per prompt, so that each bootstrap draw is a weighted sum. P prompts, N responses, D draws."""

    def __init__(self, prompts: Sequence[Scored]) -> None:
        flat = [(place, judge, people) for place, prompt in enumerate(prompts) for judge, people in prompt]
        self.prompt = np.array([row[0] for row in flat], dtype=int)
        self.judge, self.people = np.array([row[1] for row in flat]), np.array([row[2] for row in flat])
        size = len(prompts)
        error = self.judge - self.people
        self.error = np.bincount(self.prompt, error, size)
        self.absolute = np.bincount(self.prompt, np.abs(error), size)
        self.count = np.bincount(self.prompt, minlength=size).astype(float)
        self.whole = np.rint(self.judge).astype(int), np.rint(self.people).astype(int)
        self.tables = np.zeros((size, POINTS, POINTS))
        np.add.at(self.tables, (self.prompt, *self.whole), 1)
        ordered = [_ordered(prompt) for prompt in prompts]
        self.right, self.pairs = (np.array([row[part] for row in ordered], dtype=float) for part in (0, 1))

    def weights(self, draws: int, seed: int) -> np.ndarray:
        """Return a weight per prompt: all ones in row 0, then one bootstrap draw per row. Shape (1 + D, P)."""
        size = len(self.error)
        return (
            np.vstack([np.ones((1, size)), bootstrap_counts(size, draws, seed)]) if size else np.zeros((1 + draws, 0))
        )

    def of(self, measure: Measure, weights: np.ndarray) -> np.ndarray:
        """Compute a statistic for each row of weights; NaN where it is undefined. Shape (1 + D,)."""
        if not len(self.judge):
            return np.full(len(weights), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            if measure == "kappa":
                return self._kappa(weights)
            if measure == "spearman":
                return self._spearman(weights)
            over, under = {
                "mean_error": (self.error, self.count),
                "absolute_error": (self.absolute, self.count),
                "pairwise": (self.right, self.pairs),
            }[measure]
            return np.asarray(weights @ over / (weights @ under))

    def _kappa(self, weights: np.ndarray) -> np.ndarray:
        table = (weights @ self.tables.reshape(len(self.tables), -1)).reshape(-1, POINTS, POINTS)
        points = np.arange(POINTS)
        cost = (points[:, None] - points[None, :]) ** 2
        rows, columns = table.sum(axis=2), table.sum(axis=1)
        expected = np.einsum("di,dj,ij->d", rows, columns, cost) / table.sum(axis=(1, 2))
        return np.asarray(1 - np.einsum("dij,ij->d", table, cost) / expected)

    def _spearman(self, weights: np.ndarray) -> np.ndarray:
        """Return Pearson's correlation of weighted mean ranks."""
        each = weights[:, self.prompt]
        ranks = []
        for values in (self.judge, self.people):
            distinct, place = np.unique(np.round(values, SCORE_DECIMALS), return_inverse=True)
            membership = np.zeros((len(values), len(distinct)))
            membership[np.arange(len(values)), place] = 1
            counts = each @ membership
            ranks.append((np.cumsum(counts, axis=1) - counts / 2)[:, place])
        n = each.sum(axis=1, keepdims=True)
        x, y = (rank - (each * rank).sum(axis=1, keepdims=True) / n for rank in ranks)
        spread = (each * x * x).sum(axis=1) * (each * y * y).sum(axis=1)
        correlation = (each * x * y).sum(axis=1) / np.sqrt(spread)
        return np.asarray(np.where(spread > 1e-9, correlation, np.nan))

    def curve(self, weights: np.ndarray) -> tuple[CurvePoint, ...]:
        points = []
        for score in np.unique(self.whole[0]).tolist():
            selected = self.whole[0] == score
            size = len(self.error)
            total = np.bincount(self.prompt[selected], self.people[selected], size)
            count = np.bincount(self.prompt[selected], minlength=size)
            with np.errstate(divide="ignore", invalid="ignore"):
                means = weights @ total / (weights @ count)
            shown = _estimate(means[0], means[1:], size)
            points.append(CurvePoint(score, float(means[0]), shown.low, shown.high, int(selected.sum())))
        return tuple(points)


def _ordered(prompt: Scored) -> tuple[float, int]:
    """Return (correctly ordered pairs, pairs) of one prompt, by :func:`training.domain.metrics.ordered_pairs`."""
    counts = ordered_pairs([judge for judge, _ in prompt], [people for _, people in prompt])
    return counts.right, counts.pairs
