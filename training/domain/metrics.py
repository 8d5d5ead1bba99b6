"""Evaluation statistics. Standard library and numpy only.

A statistic that is undefined (no items, no variation) is ``None``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.domain.intervals import win_rate_interval
from training.domain.rows import ComparisonOutcome, Verdict
from training.domain.scores import comparable

UNPARSED_IN_PAPER = -1.0


@dataclass(frozen=True, slots=True)
class HeadToHead:
    """Wins, ties and losses of A against B, with the win rate of A (a tie counts half) and its 95 % interval.

    The interval is that of :func:`training.domain.intervals.win_rate_interval`. ``p_value`` is the exact two-sided sign
    test over wins and losses.
    """

    wins: int
    ties: int
    losses: int
    win_rate: float | None
    low: float | None
    high: float | None
    p_value: float | None


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean; ``None`` for no values."""
    return float(np.mean(values)) if len(values) else None


def sign_test(wins: int, losses: int) -> float | None:
    """Return the p-value of the exact two-sided sign test, without ties; ``None`` for no wins and losses."""
    n = wins + losses
    if n == 0:
        return None
    tail = sum(math.comb(n, k) for k in range(max(wins, losses), n + 1))
    return min(1.0, tail / (1 << (n - 1)))


def both_orders_outcome(verdict_ab: Verdict, verdict_ba: Verdict) -> ComparisonOutcome:
    """Return the outcome of A from a judge's verdicts in both orders (Yuan et al., 2024, section 3.1.2).

    A wins or loses only if both verdicts agree; otherwise it is a tie. Each verdict names the preferred position, with
    A first in ``verdict_ab`` and B first in ``verdict_ba``.
    """
    if verdict_ab == "first" and verdict_ba == "second":
        return "win"
    if verdict_ab == "second" and verdict_ba == "first":
        return "lose"
    return "tie"


def score_outcome(score_a: float | None, score_b: float | None) -> ComparisonOutcome | None:
    """Return the outcome of A from two scores; ``None`` if a score is missing."""
    if score_a is None or score_b is None:
        return None
    a, b = comparable(score_a), comparable(score_b)
    return "win" if a > b else "lose" if a < b else "tie"


def head_to_head(outcomes: Iterable[ComparisonOutcome]) -> HeadToHead:
    """Summarize the outcomes of A, one per prompt."""
    counts = Counter(outcomes)
    wins, ties, losses = counts["win"], counts["tie"], counts["lose"]
    n = wins + ties + losses
    interval = win_rate_interval(wins, ties, losses)
    return HeadToHead(
        wins,
        ties,
        losses,
        (wins + ties / 2) / n if n else None,
        interval[0] if interval else None,
        interval[1] if interval else None,
        sign_test(wins, losses),
    )


def ranks(values: Sequence[float]) -> np.ndarray:
    """Return the ranks from 1; ties get their mean rank. Shape (n,)."""
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def pearson(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float | None:
    """Return the Pearson correlation; ``None`` for fewer than two items or constant values."""
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, with mean ranks for ties; ``None`` as for :func:`pearson`."""
    return pearson(ranks(one), ranks(other))


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's τ-b; ``None`` for fewer than two items or constant values."""
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    concordance = untied_x = untied_y = 0.0
    for place in range(1, len(x)):  # row by row, so that memory is O(n), not O(n²)
        dx, dy = np.sign(x[place] - x[:place]), np.sign(y[place] - y[:place])
        concordance += float(dx @ dy)
        untied_x += float(np.abs(dx).sum())
        untied_y += float(np.abs(dy).sum())
    return concordance / math.sqrt(untied_x * untied_y)


Scores = Sequence[Sequence[float | None]]
"""One list per prompt with one score per response; ``None``: unparsed or missing."""


def parse_rate(scores: Iterable[float | None]) -> float | None:
    """Return the share of replies with a score; ``None`` for no replies."""
    replies = list(scores)
    return sum(score is not None for score in replies) / len(replies) if replies else None


@dataclass(frozen=True, slots=True)
class OrderedPairs:
    """Pairs of responses to one prompt with both scores, of which the reference ties none.

    ``right`` counts the pairs that the judge orders as the reference does, a tie of the judge as half: the expected
    value of a random order. ``untied_right`` and ``untied`` leave out the pairs that the judge ties.
    """

    right: float
    pairs: int
    untied_right: int
    untied: int


def ordered_pairs(judge: Sequence[float | None], reference: Sequence[float | None]) -> OrderedPairs:
    """Count the pairs of one prompt, from a score of each response by the judge and by the reference.

    Equal scores are those of :func:`training.domain.scores.comparable`. Responses without both scores are left out.
    """
    both = [
        (comparable(a), comparable(b)) for a, b in zip(judge, reference, strict=True) if a is not None and b is not None
    ]
    pairs = untied = right = 0
    for place, (a, b) in enumerate(both):
        for c, d in both[:place]:
            if b != d:
                pairs += 1
                untied += a != c
                right += a != c and (a > c) == (b > d)
    return OrderedPairs(right + (pairs - untied) / 2, pairs, right, untied)


def pairwise_with_ties(judge: Scores, reference: Scores) -> tuple[float | None, int]:
    """Return the share of response pairs of one prompt that both sides order alike, and the number of pairs.

    A tie of the judge counts as half correct; see :class:`OrderedPairs`.
    """
    counts = [ordered_pairs(own, other) for own, other in zip(judge, reference, strict=True)]
    n = sum(one.pairs for one in counts)
    return (sum(one.right for one in counts) / n if n else None), n


def pairwise_accuracy(judge: Scores, reference: Scores) -> tuple[float | None, int]:
    """Like :func:`pairwise_with_ties`, but only over pairs that neither side ties."""
    counts = [ordered_pairs(own, other) for own, other in zip(judge, reference, strict=True)]
    n = sum(one.untied for one in counts)
    return (sum(one.untied_right for one in counts) / n if n else None), n


@dataclass(frozen=True, slots=True)
class RewardModelling:
    """Agreement of a judge's scores with a reference, by the conventions of Luo et al., table 2. Shares are 0 to 1."""

    pairwise_accuracy: float | None
    five_best: float | None
    exact_match: float | None
    spearman: float | None
    kendall: float | None
    parse_rate: float | None
    pairs: int


def reward_modelling_as_in_paper(judge: Scores, reference: Scores) -> RewardModelling:
    """Compute the agreement by the conventions of Luo et al., table 2. Used only to reproduce that table.

    There, "pairwise accuracy" is the share of responses with equal scores; an unparsed or missing score is -1;
    "5-best" is the share of the judge's fives that the reference also scores 5; exact match means that all scores of
    a prompt are equal; correlations pool all prompts.
    """
    pooled: list[tuple[float, float]] = []
    exact: list[bool] = []
    for own, other in zip(judge, reference, strict=True):
        filled = [UNPARSED_IN_PAPER if a is None else a for a in own]
        known = [UNPARSED_IN_PAPER if b is None else b for b in other]
        pooled += zip(filled, known, strict=True)
        exact.append(filled == known)
    x, y = [a for a, _ in pooled], [b for _, b in pooled]
    return RewardModelling(
        mean([a == b for a, b in pooled]),
        mean([b == 5 for a, b in pooled if a == 5]),
        mean(exact),
        spearman(x, y),
        kendall(x, y),
        parse_rate(s for own in judge for s in own),
        len(pooled),
    )


def kl_estimate(chosen_reward: float, rejected_reward: float, *, beta: float) -> float:
    """Return the k1 estimate of KL(π_ref ‖ π), in nats per response (Schulman 2020, "Approximating KL divergence").

    It is the mean of log π_ref - log π over the two responses of the pairs, computed from the mean rewards
    β·log π/π_ref. The estimate is unbiased for samples of the reference. The responses of preference pairs are
    selected, so it only shows the direction and speed of the change, and can be negative.
    """
    return -(chosen_reward + rejected_reward) / (2 * beta)


def response_length(texts: Sequence[str]) -> float | None:
    """Return the mean length in characters; ``None`` for no texts."""
    return mean([len(text) for text in texts])
