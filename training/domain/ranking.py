"""Agreement of a judge with a ranking: people's, or a teacher's scores (Yuan et al., 2024, section 3.1.2, table 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.domain.agreement import IntervalEstimate, bootstrap_counts, percentile_interval
from training.domain.intervals import ratio_interval, share_interval
from training.domain.metrics import kendall, ordered_pairs, ranks, spearman
from training.domain.scores import comparable

#: Responses of one prompt as (judge's score, or ``None`` if unparsed; the reference's rank, 1 = best).
Ranked = Sequence[tuple[float | None, float]]

DRAWS = 500
BEST_SCORE = 5


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Ranking agreement statistics. Shares are 0 to 1; an undefined statistic is ``None``.

    ``…_low`` and ``…_high`` bound 95 % bootstrap intervals over prompts; they are ``None`` with fewer than two prompts
    that have a value, and in results of earlier versions.

    Attributes:
        scored: responses that the judge scored; ``parse_rate`` is their share.
        pairs: pairs of two scored responses that the reference does not tie.
        accuracy: share of these pairs that the judge orders as the reference does, a tie of the judge counting half.
        untied_accuracy: the same over the ``untied_pairs`` that the judge does not tie.
        exact: share of prompts whose responses are all ordered as in the reference.
        five_best_untied: share of the responses scored 5 that are the reference's best, without prompts whose responses
            the reference ties throughout: there every response is the best one, and the statistic says nothing.
        five_best: the same over all prompts, as Yuan et al. (2024), section 3.1.2, define it.
        fives, fives_untied: the numbers of responses scored 5 in these two.
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
    untied_pairs: int = 0
    untied_accuracy_low: float | None = None
    untied_accuracy_high: float | None = None
    exact_low: float | None = None
    exact_high: float | None = None
    five_best_low: float | None = None
    five_best_high: float | None = None
    five_best_untied: float | None = None
    five_best_untied_low: float | None = None
    five_best_untied_high: float | None = None
    fives_untied: int = 0
    spearman_low: float | None = None
    spearman_high: float | None = None
    kendall_low: float | None = None
    kendall_high: float | None = None
    parse_rate: float | None = None
    parse_rate_low: float | None = None
    parse_rate_high: float | None = None

    def as_data(self) -> dict[str, Any]:
        """Return the statistics by name, as stored in the database."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _PromptAgreement:
    """Sums over one prompt. ``None``: the prompt does not count for the statistic."""

    responses: int
    scored: int
    right: float
    pairs: int
    untied_right: int
    untied: int
    exact: bool | None
    fives: int
    best_fives: int
    is_tied: bool
    spearman: float | None
    kendall: float | None


def _of_prompt(group: Ranked) -> _PromptAgreement:
    """Compute the sums of one prompt. 5-best, exact match and correlations need two scored responses."""
    both = [(comparable(score), -rank) for score, rank in group if score is not None]
    pairs = ordered_pairs([score for score, _ in group], [-rank for _, rank in group])
    counts = (len(group), len(both), pairs.right, pairs.pairs, pairs.untied_right, pairs.untied)
    if len(both) < 2:
        return _PromptAgreement(*counts, None, 0, 0, False, None, None)
    own, reference = [score for score, _ in both], [value for _, value in both]
    best = [value == max(reference) for score, value in both if score == BEST_SCORE]
    return _PromptAgreement(
        *counts,
        bool(np.array_equal(ranks(own), ranks(reference))) if len(both) == len(group) else None,
        len(best),
        sum(best),
        len(set(reference)) == 1,
        spearman(own, reference),
        kendall(own, reference),
    )


def ranking_agreement(prompts: Iterable[Ranked], *, seed: int = 1) -> RankAgreement:
    """Compute the ranking agreement over these prompts. Without prompts, counts are 0 and statistics ``None``."""
    rows = [_of_prompt(list(prompt)) for prompt in prompts]

    def share(parts: Iterable[float], wholes: Iterable[float]) -> IntervalEstimate:
        return share_interval(list(parts), list(wholes), draws=DRAWS, seed=seed)

    def average(values: Iterable[float | None]) -> IntervalEstimate:
        known = [value for value in values if value is not None]
        return ratio_interval(known, [1.0] * len(known), draws=DRAWS, seed=seed)

    untied = [row for row in rows if not row.is_tied]
    complete = [row for row in rows if row.exact is not None]
    found = {
        "accuracy": share((row.right for row in rows), (row.pairs for row in rows)),
        "untied_accuracy": share((row.untied_right for row in rows), (row.untied for row in rows)),
        "exact": share((bool(row.exact) for row in complete), (1 for _ in complete)),
        "five_best": share((row.best_fives for row in rows), (row.fives for row in rows)),
        "five_best_untied": share((row.best_fives for row in untied), (row.fives for row in untied)),
        "spearman": average(row.spearman for row in rows),
        "kendall": average(row.kendall for row in rows),
        "parse_rate": share((row.scored for row in rows), (row.responses for row in rows)),
    }
    statistics: dict[str, float | None] = {}
    for name, estimate in found.items():
        statistics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return RankAgreement(
        prompts=len(rows),
        responses=sum(row.responses for row in rows),
        scored=sum(row.scored for row in rows),
        pairs=sum(row.pairs for row in rows),
        untied_pairs=sum(row.untied for row in rows),
        fives=sum(row.fives for row in rows),
        fives_untied=sum(row.fives for row in untied),
        **statistics,
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
    counts = [ordered_pairs([score for score, _ in prompt], [-rank for _, rank in prompt]) for prompt in prompts]
    return np.array([one.right for one in counts], dtype=float), np.array([one.pairs for one in counts], dtype=float)


def _weights(n: int, seed: int) -> np.ndarray:
    """Return a weight per prompt: all ones in row 0, then one bootstrap draw per row. Shape (1 + DRAWS, n)."""
    return np.vstack([np.ones((1, n)), bootstrap_counts(n, DRAWS, seed)])
