"""Which items people should see first: those where a decision is most likely to change the training set.

Every figure is between 0 and 1. Nothing here knows what people will say: it reads the judge's own doubt, how near the
scores are, and what another judge thinks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Points by which one sampled judgement of an additive 5-point judge typically differs from another.
TYPICAL_SPREAD = 0.6


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """A response as the judge in force sees it. ``spread``: s.d. of its samples; ``other``: another judge's score."""

    score: float | None
    spread: float | None = None
    other: float | None = None


def closeness(margin: float | None, spread: float | None = None) -> float:
    """Chance that the order of two scores is wrong, doubled so that equal scores give 1; unknown margins give 1."""
    if margin is None:
        return 1.0
    noise = math.hypot(spread or 0.0, TYPICAL_SPREAD)
    return math.erfc(abs(margin) / (2 * noise))


def disagreement(chosen: JudgedResponse, rejected: JudgedResponse) -> float | None:
    """How far another judge doubts the order: 1 where it has it the other way round by 2 points or more, 0.5 where
    it sees no difference, 0 where it agrees by 2 points or more. ``None`` where it has not judged both."""
    if chosen.other is None or rejected.other is None:
        return None
    return min(1.0, max(0.0, 0.5 - (chosen.other - rejected.other) / 4))


def pair_impact(chosen: JudgedResponse, rejected: JudgedResponse, others: Sequence[JudgedResponse] = ()) -> float:
    """How likely a person is to change this pair.

    ``others`` are the prompt's further responses: one that scores as high as the chosen, or as low as the rejected,
    could as well stand in the pair, so the choice was close to arbitrary.
    """
    margin = None if chosen.score is None or rejected.score is None else chosen.score - rejected.score
    spread = math.hypot(chosen.spread or 0.0, rejected.spread or 0.0)
    close = closeness(margin, spread)
    doubt = disagreement(chosen, rejected)
    arbitrary = _arbitrary(chosen, rejected, others)
    if doubt is None:
        return 0.8 * close + 0.2 * arbitrary
    # A second judge's doubt says far more than the first one's margin: coarse judges are as wrong at 4 points as at 1.
    return 0.1 * close + 0.85 * doubt + 0.05 * arbitrary


def _arbitrary(chosen: JudgedResponse, rejected: JudgedResponse, others: Sequence[JudgedResponse]) -> float:
    near = [
        max(
            closeness(_gap(other, chosen), other.spread),
            closeness(_gap(other, rejected), other.spread),
        )
        for other in others
        if other.score is not None
    ]
    return max(near, default=0.0)


def _gap(one: JudgedResponse, other: JudgedResponse) -> float | None:
    return None if one.score is None or other.score is None else one.score - other.score


def score_impact(response: JudgedResponse, group: Sequence[JudgedResponse]) -> float:
    """How likely a corrected score of one response is to change its prompt's max-min choice.

    An unparsed response always could: it takes no part until a person scores it.
    """
    scores = [row.score for row in group if row.score is not None]
    if response.score is None or len(scores) < 2:
        return 1.0
    high, low = max(scores), min(scores)
    to_the_edge = min(high - response.score, response.score - low)
    near = closeness(to_the_edge, response.spread)
    doubt = 0.0 if response.other is None else min(1.0, abs(response.score - response.other) / 3)
    wobble = min(1.0, (response.spread or 0.0) / 2)
    return 0.4 * near + 0.4 * doubt + 0.2 * wobble
