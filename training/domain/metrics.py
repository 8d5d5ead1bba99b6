"""Figures of an evaluation. Standard library and numpy only.

A figure that cannot be had (no items, no variation) is ``None``, never zero and never a guess.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.domain.rows import ComparisonOutcome, Verdict

Z_95 = 1.959963984540054
UNPARSED_IN_PAPER = -1.0


@dataclass(frozen=True, slots=True)
class HeadToHead:
    """Wins, ties and losses of A against B, with A's win rate, ties counted as half, and its 95 % interval.

    The interval is Wilson's score interval on the win rate, n the number of prompts; with ties as halves it is
    slightly wider than needed. ``p_value`` is the exact two-sided sign test over the prompts that were decided.
    """

    wins: int
    ties: int
    losses: int
    win_rate: float | None
    low: float | None
    high: float | None
    p_value: float | None


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; ``None`` of nothing."""
    return float(np.mean(values)) if len(values) else None


def mean_interval(values: Sequence[float], *, draws: int = 1000, seed: int = 1) -> tuple[float | None, float | None]:
    """95 % interval of the mean of one value per prompt: the percentile bootstrap over prompts.

    Each of ``draws`` samples takes as many prompts as there are, with replacement, and the bounds are the 2.5th and
    the 97.5th percentile of their means (Efron & Tibshirani 1993, section 13.3). The seed is fixed, so that the same
    values give the same interval. Two ``None`` for fewer than two values.
    """
    n = len(values)
    if n < 2:
        return None, None
    often = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    low, high = np.percentile(often @ np.asarray(values, dtype=float) / n, [2.5, 97.5])
    return float(low), float(high)


def wilson_interval(successes: float, n: int) -> tuple[float, float] | None:
    """Wilson's 95 % score interval for a share ``successes / n``."""
    if n == 0:
        return None
    share, square = successes / n, Z_95**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def sign_test(wins: int, losses: int) -> float | None:
    """Exact two-sided sign test: the chance of a split at least so uneven were both sides equal. Ties take no part."""
    n = wins + losses
    if n == 0:
        return None
    tail = sum(math.comb(n, k) for k in range(max(wins, losses), n + 1))
    return min(1.0, tail / (1 << (n - 1)))


def both_orders_outcome(verdict_ab: Verdict, verdict_ba: Verdict) -> ComparisonOutcome:
    """A's outcome from a judge asked in both orders: win or lose only where both agree, else a tie (001 section 3.1.2).

    ``verdict_ab`` was asked with A first, ``verdict_ba`` with B first; both name the position preferred.
    """
    if verdict_ab == "first" and verdict_ba == "second":
        return "win"
    if verdict_ab == "second" and verdict_ba == "first":
        return "lose"
    return "tie"


def score_outcome(score_a: float | None, score_b: float | None) -> ComparisonOutcome | None:
    """A's outcome by two scores; ``None`` where either is missing, so that it is not counted."""
    if score_a is None or score_b is None:
        return None
    return "win" if score_a > score_b else "lose" if score_a < score_b else "tie"


def head_to_head(outcomes: Iterable[ComparisonOutcome]) -> HeadToHead:
    """Summary of A's outcomes, one a prompt."""
    counts = Counter(outcomes)
    wins, ties, losses = counts["win"], counts["tie"], counts["lose"]
    n = wins + ties + losses
    interval = wilson_interval(wins + ties / 2, n)
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
    """Ranks from 1, equal values sharing the mean of their places. Shape (n,)."""
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def pearson(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float | None:
    """Pearson correlation; ``None`` for fewer than two items or where either side does not vary."""
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties by mean rank; ``None`` as for :func:`pearson`."""
    return pearson(ranks(one), ranks(other))


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's τ-b; ``None`` for fewer than two items or where either side does not vary."""
    x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    concordance = untied_x = untied_y = 0.0
    for place in range(1, len(x)):  # a row a time: memory stays at n, not n²
        dx, dy = np.sign(x[place] - x[:place]), np.sign(y[place] - y[:place])
        concordance += float(dx @ dy)
        untied_x += float(np.abs(dx).sum())
        untied_y += float(np.abs(dy).sum())
    return concordance / math.sqrt(untied_x * untied_y)


@dataclass(frozen=True, slots=True)
class RewardModelling:
    """How a judge's scores agree with a reference's. Shares are 0 to 1; ``pairs`` is what the accuracy counts.

    ``pairwise_with_ties`` counts the judge's ties as half right: a judge that ties nearly all shows there.
    """

    pairwise_accuracy: float | None
    pairwise_with_ties: float | None
    five_best: float | None
    exact_match: float | None
    spearman: float | None
    kendall: float | None
    parse_rate: float | None
    pairs: int


Scores = Sequence[Sequence[float | None]]
"""One list a prompt, one score a response; ``None``: unparsed or missing."""


def parse_rate(scores: Iterable[float | None]) -> float | None:
    """Share of the replies that held a score."""
    replies = list(scores)
    return sum(score is not None for score in replies) / len(replies) if replies else None


def pairwise_with_ties(judge: Scores, reference: Scores) -> tuple[float | None, int]:
    """Share of the pairs of responses to one prompt that both sides put in the same order, and how many were counted.

    A pair counts where all four scores exist and the reference does not tie it. A tie of the judge is half right:
    it knows nothing of that pair, which is what a coin would score.
    """
    right, n = 0.0, 0
    for own, other in zip(judge, reference, strict=True):
        both = [(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None]
        for place, (a, b) in enumerate(both):
            for c, d in both[:place]:
                if b == d:
                    continue
                n += 1
                right += 0.5 if a == c else float((a > c) == (b > d))
    return (right / n if n else None), n


def pairwise_accuracy(judge: Scores, reference: Scores) -> tuple[float | None, int]:
    """As :func:`pairwise_with_ties`, over the pairs that neither side ties: the order of untied pairs alone."""
    right, n = 0, 0
    for own, other in zip(judge, reference, strict=True):
        both = [(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None]
        for place, (a, b) in enumerate(both):
            for c, d in both[:place]:
                if a != c and b != d:
                    n += 1
                    right += (a > c) == (b > d)
    return (right / n if n else None), n


def reward_modelling(judge: Scores, reference: Scores) -> RewardModelling:
    """The product's convention: unparsed excluded, order of untied pairs, correlations within a prompt then averaged.

    ``five_best``: of the responses scored 5 by the judge, the share that the reference scores highest of their prompt.
    ``exact_match``: of the prompts where every response holds both scores, the share ordered exactly alike.
    """
    accuracy, n = pairwise_accuracy(judge, reference)
    best: list[bool] = []
    exact: list[bool] = []
    rhos: list[float] = []
    taus: list[float] = []
    for own, other in zip(judge, reference, strict=True):
        both = [(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None]
        if len(both) < 2:
            continue
        x, y = [a for a, _ in both], [b for _, b in both]
        best += [b == max(y) for a, b in both if a == 5]
        if len(both) == len(own):
            exact.append(bool(np.array_equal(ranks(x), ranks(y))))
        rho, tau = spearman(x, y), kendall(x, y)
        if rho is not None and tau is not None:
            rhos.append(rho)
            taus.append(tau)
    return RewardModelling(
        accuracy,
        pairwise_with_ties(judge, reference)[0],
        mean(best),
        mean(exact),
        mean(rhos),
        mean(taus),
        parse_rate(s for own in judge for s in own),
        n,
    )


def reward_modelling_as_in_paper(judge: Scores, reference: Scores) -> RewardModelling:
    """The conventions behind table 2 of 000, kept to reproduce it and for nothing else.

    "Pairwise accuracy" is there the share of responses with exactly equal scores; an unparsed reply counts as the
    score -1; "5-best" is the share of the judge's fives that the reference scores 5; exact match is equality of all
    scores of a prompt; correlations pool all prompts. A missing score is taken for -1 too.
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
        None,
        mean([b == 5 for a, b in pooled if a == 5]),
        mean(exact),
        spearman(x, y),
        kendall(x, y),
        parse_rate(s for own in judge for s in own),
        len(pooled),
    )


def kl_estimate(chosen_reward: float, rejected_reward: float, *, beta: float) -> float:
    """How far the policy π has moved from its reference, in nats a response: the k1 estimate of KL(π_ref ‖ π).

    The mean of log π_ref - log π over the pairs' two responses, each summed over its tokens, from the mean rewards
    β·log π/π_ref. Unbiased for responses that are plain samples of the reference (Schulman 2020, "Approximating KL
    divergence", with the samples from π_ref); those of preference pairs are picked, so it says which way and how fast,
    and may be negative.
    """
    return -(chosen_reward + rejected_reward) / (2 * beta)


def response_length(texts: Sequence[str]) -> float | None:
    """Mean length in characters."""
    return mean([len(text) for text in texts])
