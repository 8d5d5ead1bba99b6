"""Comparison of scores. A mean of judgements carries a rounding error, so scores are compared at a fixed precision."""

from __future__ import annotations

from typing import Final

#: Decimals at which scores, in points, are compared. Means of up to thousands of judgements differ by more than this;
#: rounding errors of floating-point sums are around 1e-15.
SCORE_DECIMALS: Final = 6
#: Half of the last decimal, in points: scores whose difference is smaller are equal. For comparisons in SQL.
SAME_SCORE: Final = 0.5 * 10**-SCORE_DECIMALS


def comparable(score: float) -> float:
    """Return a score, or a difference of scores, rounded to :data:`SCORE_DECIMALS`.

    Compare, sort and count scores by this value: then 2.7 equals 2.7000000000000006, and the relation is transitive,
    as a tolerance between two scores would not be.

    >>> comparable(2.7) == comparable((2.7 + 2.7 + 2.7) / 3)
    True
    >>> comparable(0.7 - 0.5) < comparable(0.2)
    False
    """
    return round(score, SCORE_DECIMALS)
