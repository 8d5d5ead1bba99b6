"""A judge held to people's rankings of responses that it was not taught on (001 section 3.1.2, table 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.domain.agreement import IntervalEstimate, bootstrap_counts, percentile_interval
from training.domain.metrics import pairwise_with_ties, reward_modelling

#: One prompt's responses as (the judge's score, ``None`` where none was read; people's rank, 1 the best).
Ranked = Sequence[tuple[float | None, float]]

DRAWS = 500


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """How a judge's scores order responses that people ranked. Shares are 0 to 1; what cannot be had is ``None``.

    ``pairs`` are those that people do not tie and of which both have a score. ``untied_accuracy`` is over those that
    the judge does not tie either, ``accuracy`` over all of them with a tie as half right, with its 95 % interval over
    prompts. ``exact``: prompts whose every response is ordered as people do. ``five_best``: of the responses scored 5,
    those that people rank first. The correlations are taken within a prompt and averaged.
    """

    prompts: int
    responses: int
    scored: int
    pairs: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    untied_accuracy: float | None
    exact: float | None
    five_best: float | None
    fives: int
    spearman: float | None
    kendall: float | None

    def as_data(self) -> dict[str, Any]:
        """The figures by name, as the record keeps them."""
        return asdict(self)


def ranking_agreement(prompts: Iterable[Ranked], *, seed: int = 1) -> RankAgreement:
    """Every figure over these prompts. Without any, the counts are zero and the figures ``None``."""
    groups = [list(prompt) for prompt in prompts]
    scores = [[score for score, _ in group] for group in groups]
    people = [[-rank for _, rank in group] for group in groups]
    found = reward_modelling(scores, people)
    right, pairs = _in_order(groups)
    accuracy = _share(right, pairs, seed=seed)
    given = [score for group in scores for score in group]
    return RankAgreement(
        prompts=len(groups),
        responses=len(given),
        scored=sum(score is not None for score in given),
        pairs=int(pairs.sum()),
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        untied_accuracy=found.pairwise_accuracy,
        exact=found.exact_match,
        five_best=found.five_best,
        fives=sum(score == 5 for score in given),
        spearman=found.spearman,
        kendall=found.kendall,
    )


def accuracy_change(before: Sequence[Ranked], after: Sequence[Ranked], *, seed: int = 1) -> IntervalEstimate:
    """How far ``accuracy`` moved from one judge to another on the same prompts, with its 95 % interval.

    Both are given in the same order. Each draw takes the same prompts for both, so that what is hard about a prompt
    does not widen the interval. Raises :class:`ValueError` where they are not as many.
    """
    if len(before) != len(after):
        raise ValueError("both judges must be given for the same prompts")
    (right, pairs), (right_after, pairs_after) = _in_order(before), _in_order(after)
    both = (pairs > 0) & (pairs_after > 0)
    n = int(both.sum())
    if not n:
        return IntervalEstimate(None, None, None, 0)
    weights = _weights(n, seed)
    moved = (weights @ right_after[both]) / (weights @ pairs_after[both]) - (weights @ right[both]) / (
        weights @ pairs[both]
    )
    return IntervalEstimate(float(moved[0]), *percentile_interval(moved[1:]), n)


def _in_order(prompts: Sequence[Ranked]) -> tuple[np.ndarray, np.ndarray]:
    """Of each prompt: how many pairs are in people's order, a tie of the judge half, and of how many. Shapes (P,)."""
    right, pairs = np.zeros(len(prompts)), np.zeros(len(prompts))
    for place, prompt in enumerate(prompts):
        share, pairs[place] = pairwise_with_ties([[score for score, _ in prompt]], [[-rank for _, rank in prompt]])
        right[place] = (share or 0.0) * pairs[place]
    return right, pairs


def _share(right: np.ndarray, pairs: np.ndarray, *, seed: int) -> IntervalEstimate:
    there = pairs > 0
    n = int(there.sum())
    if not n:
        return IntervalEstimate(None, None, None, 0)
    weights = _weights(n, seed)
    found = (weights @ right[there]) / (weights @ pairs[there])
    return IntervalEstimate(float(found[0]), *percentile_interval(found[1:]), n)


def _weights(n: int, seed: int) -> np.ndarray:
    """Row 0 is every prompt once, each other row one draw. Shape (1 + DRAWS, n)."""
    return np.vstack([np.ones((1, n)), bootstrap_counts(n, DRAWS, seed)])
