"""Inter-annotator agreement with confidence intervals. Standard library and numpy only.

Answers have the shape items x raters: one sequence per item, one answer per rater, ``None`` for a missing answer.
A statistic that is undefined (no item with two answers, no variation) is ``None``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Level = Literal["nominal", "ordinal", "interval"]
Answers = Sequence[Sequence[Hashable | None]]


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """An estimate, the bounds of its 95 % confidence interval, and the number of items that it is based on."""

    value: float | None
    low: float | None
    high: float | None
    items: int


def _given(item: Sequence[Hashable | None]) -> list[Hashable]:
    return [answer for answer in item if answer is not None]


def item_agreement(item: Sequence[Hashable | None]) -> float | None:
    """Share of rater pairs that gave the same answer to one item; ``None`` for fewer than two answers."""
    given = _given(item)
    n = len(given)
    if n < 2:
        return None
    return sum(count * (count - 1) for count in Counter(given).values()) / (n * (n - 1))


def percent_agreement(answers: Answers) -> float | None:
    """Mean over items of :func:`item_agreement`, 0 to 1."""
    shares = [share for share in map(item_agreement, answers) if share is not None]
    return sum(shares) / len(shares) if shares else None


def cohen_kappa(
    one: Sequence[Hashable | None], other: Sequence[Hashable | None], *, weights: Literal["none", "quadratic"] = "none"
) -> float | None:
    """Return Cohen's κ of two raters over the items that both answered (Cohen 1960; weighted: Cohen 1968).

    Quadratic weights need numeric answers: a disagreement weighs the square of the difference.
    """
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if not both:
        return None
    values = sorted({answer for pair in both for answer in pair}, key=_order)
    place = {value: index for index, value in enumerate(values)}
    table = np.zeros((len(values), len(values)))
    for a, b in both:
        table[place[a], place[b]] += 1
    cost = _distance(values, "nominal" if weights == "none" else "interval")
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    worst = float((cost * expected).sum())
    return None if worst == 0 else 1 - float((cost * table).sum()) / worst


def fleiss_kappa(answers: Answers) -> float | None:
    """Return Fleiss' κ (1971).

    Fleiss' κ needs the same number of raters for every item: only items with the most common number are used.
    """
    given = [item for item in map(_given, answers) if len(item) >= 2]
    if not given:
        return None
    raters = Counter(map(len, given)).most_common(1)[0][0]
    kept = [Counter(item) for item in given if len(item) == raters]
    shares: Counter[Hashable] = Counter()
    for item in kept:
        shares.update(item)
    total = len(kept) * raters
    by_chance = sum((count / total) ** 2 for count in shares.values())
    observed = sum((sum(c * c for c in item.values()) - raters) / (raters * (raters - 1)) for item in kept) / len(kept)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def krippendorff_alpha(answers: Answers, *, level: Level = "nominal") -> float | None:
    """Return Krippendorff's α = 1 - D_o / D_e from the coincidence matrix. Answers may be missing."""
    tables, values = _coincidences(answers)
    return _alpha(tables.sum(axis=0), values, level) if len(tables) else None


def alpha_with_interval(
    answers: Answers, *, level: Level = "nominal", draws: int = 1000, seed: int = 1
) -> IntervalEstimate:
    """Return Krippendorff's α with a 95 % percentile bootstrap interval over items."""
    tables, values = _coincidences(answers)
    if not len(tables):
        return IntervalEstimate(None, None, None, 0)
    estimate = _alpha(tables.sum(axis=0), values, level)
    n = len(tables)
    weights = bootstrap_counts(n, draws, seed)
    # The coincidence matrix of a draw is a weighted sum of the items' matrices, so one product computes all draws.
    drawn = (weights @ tables.reshape(n, -1)).reshape(draws, len(values), len(values))
    alphas = [alpha for alpha in (_alpha(table, values, level) for table in drawn) if alpha is not None]
    return IntervalEstimate(estimate, *percentile_interval(alphas), n)


def percent_with_interval(answers: Answers, *, draws: int = 500, seed: int = 1) -> IntervalEstimate:
    """Return percent agreement with a 95 % percentile bootstrap interval over items."""
    shares = np.array([share for share in map(item_agreement, answers) if share is not None])
    n = len(shares)
    if not n:
        return IntervalEstimate(None, None, None, 0)
    return IntervalEstimate(
        float(shares.mean()), *percentile_interval(list(bootstrap_counts(n, draws, seed) @ shares / n)), n
    )


def fleiss_with_interval(answers: Answers, *, draws: int = 500, seed: int = 1) -> IntervalEstimate:
    """Return Fleiss' κ with a 95 % percentile bootstrap interval over items."""
    given = [item for item in map(_given, answers) if len(item) >= 2]
    if not given:
        return IntervalEstimate(None, None, None, 0)
    raters = Counter(map(len, given)).most_common(1)[0][0]
    kept = [item for item in given if len(item) == raters]
    values = sorted({answer for item in kept for answer in item}, key=_order)
    counts = np.array([[item.count(value) for value in values] for item in kept], dtype=float)
    observed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    weights = bootstrap_counts(len(kept), draws, seed)
    by_chance = (((weights @ counts) / (len(kept) * raters)) ** 2).sum(axis=1)
    agreed = weights @ observed / len(kept)
    varied = by_chance < 1
    kappas = (agreed[varied] - by_chance[varied]) / (1 - by_chance[varied])
    return IntervalEstimate(fleiss_kappa(answers), *percentile_interval(list(kappas)), len(kept))


def bootstrap_counts(n: int, draws: int, seed: int) -> np.ndarray:
    """Return how often each of n items occurs in each bootstrap draw. Shape (draws, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)


def percentile_interval(values: Sequence[float] | np.ndarray) -> tuple[float | None, float | None]:
    """Return the 2.5th and the 97.5th percentile; ``(None, None)`` for no values."""
    if not len(values):
        return None, None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _order(value: Hashable) -> tuple[str, float | str]:
    """Sort key: numbers by value first, then other answers by type and text."""
    return ("", float(value)) if isinstance(value, int | float) else (type(value).__name__, str(value))


def _coincidences(answers: Answers) -> tuple[np.ndarray, list[Hashable]]:
    """Return the coincidence matrix of each item, shape (items, values, values), and the sorted values."""
    items = [item for item in map(_given, answers) if len(item) >= 2]
    values = sorted({answer for item in items for answer in item}, key=_order)
    place = {value: index for index, value in enumerate(values)}
    counts = np.zeros((len(items), len(values)))
    for row, item in enumerate(items):
        for answer in item:
            counts[row, place[answer]] += 1
    raters = counts.sum(axis=1)
    tables = np.einsum("ui,uj->uij", counts, counts)
    diagonal = np.arange(len(values))
    tables[:, diagonal, diagonal] -= counts
    return tables / (raters - 1)[:, None, None] if len(items) else tables, values


def _alpha(table: np.ndarray, values: list[Hashable], level: Level) -> float | None:
    totals = table.sum(axis=1)
    n = float(totals.sum())
    if n < 2:
        return None
    distance = _distance(values, level, totals)
    expected = float((np.outer(totals, totals) * distance).sum()) / (n - 1)
    return None if expected == 0 else 1 - float((table * distance).sum()) / expected


def _distance(values: list[Hashable], level: Level, totals: np.ndarray | None = None) -> np.ndarray:
    """Return the squared distance of each pair of values: nominal, ordinal or interval. Shape (values, values)."""
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "interval":
        numbers = np.array([float(value) for value in values])  # type: ignore[arg-type]
        return np.asarray((numbers[:, None] - numbers[None, :]) ** 2)
    assert totals is not None
    # Ordinal: the number of answers between the two values, each of the two counted half.
    below = np.cumsum(totals) - totals / 2
    return np.asarray((below[:, None] - below[None, :]) ** 2)


def agreement_level(value: float | None) -> str:
    """Interpret a chance-corrected agreement by Krippendorff's thresholds, 0.667 and 0.8."""
    if value is None or math.isnan(value):
        return "not measured"
    return "reliable" if value >= 0.8 else "tentative" if value >= 0.667 else "low"
