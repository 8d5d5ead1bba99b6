"""Agreement of a judge with people's rankings of held-out responses (Yuan et al., 2024, section 3.1.2, table 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.domain.agreement import IntervalEstimate, bootstrap_counts, percentile_interval
from training.domain.metrics import pairwise_with_ties, reward_modelling

#: Responses of one prompt as (judge's score, or ``None`` if unparsed; people's rank, 1 = best).
Ranked = Sequence[tuple[float | None, float]]

DRAWS = 500


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Ranking agreement statistics. Shares are 0 to 1; an undefined statistic is ``None``.

    Attributes:
        pairs: pairs of two scored responses that people do not tie.
        accuracy: share of these pairs that the judge orders as people do, a tie counting half; with the 95 % interval
            over prompts.
        untied_accuracy: the same over pairs that the judge does not tie.
        exact: share of prompts whose responses are all ordered as people do.
        five_best: share of the responses scored 5 that people rank first.
        spearman, kendall: correlations within a prompt, averaged.
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
        """Return the statistics by name, as stored in the database."""
        return asdict(self)


def ranking_agreement(prompts: Iterable[Ranked], *, seed: int = 1) -> RankAgreement:
    """Compute the ranking agreement over these prompts. Without prompts, counts are 0 and statistics ``None``."""
    groups = [list(prompt) for prompt in prompts]
    scores = [[score for score, _ in group] for group in groups]
    people = [[-rank for _, rank in group] for group in groups]
    agreement = reward_modelling(scores, people)
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
        untied_accuracy=agreement.pairwise_accuracy,
        exact=agreement.exact_match,
        five_best=agreement.five_best,
        fives=sum(score == 5 for score in given),
        spearman=agreement.spearman,
        kendall=agreement.kendall,
    )


def accuracy_change(before: Sequence[Ranked], after: Sequence[Ranked], *, seed: int = 1) -> IntervalEstimate:
    """Return the change of ``accuracy`` from one judge to another, with the 95 % interval of the paired difference.

    ``before`` and ``after`` have the same prompts in the same order; each bootstrap draw takes the same prompts for
    both. Raises :class:`ValueError` if their lengths differ.
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
    """Return (correctly ordered pairs, pairs) of each prompt; a tie of the judge counts half. Shapes (P,)."""
    right, pairs = np.zeros(len(prompts)), np.zeros(len(prompts))
    for place, prompt in enumerate(prompts):
        share, pairs[place] = pairwise_with_ties([[score for score, _ in prompt]], [[-rank for _, rank in prompt]])
        right[place] = (share or 0.0) * pairs[place]
    return right, pairs


def _share(right: np.ndarray, pairs: np.ndarray, *, seed: int) -> IntervalEstimate:
    has_pairs = pairs > 0
    n = int(has_pairs.sum())
    if not n:
        return IntervalEstimate(None, None, None, 0)
    weights = _weights(n, seed)
    shares = (weights @ right[has_pairs]) / (weights @ pairs[has_pairs])
    return IntervalEstimate(float(shares[0]), *percentile_interval(shares[1:]), n)


def _weights(n: int, seed: int) -> np.ndarray:
    """Return a weight per prompt: all ones in row 0, then one bootstrap draw per row. Shape (1 + DRAWS, n)."""
    return np.vstack([np.ones((1, n)), bootstrap_counts(n, DRAWS, seed)])
