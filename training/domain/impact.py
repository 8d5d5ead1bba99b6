"""Which items people should see first: those where a decision is most likely to change the training set.

Each response has a quality that nobody sees. A judge's score is that quality plus the judge's own error, both normal
around the prompt's mean; a response's samples that differ add to the error. How much of a judge's score is quality is
learnt from the queue's own judgements, by how far two judges agree (the moments of a one-factor model): no person's
answer takes part. What follows is a probability, and the items go by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Of a judge's variance within a prompt, at least and at most so much counts as quality: no judge knows all or nothing.
LEAST_SHARE, MOST_SHARE = 0.05, 0.95
#: Responses with two judges below which their agreement says too little, and :data:`TYPICAL` is taken.
ENOUGH = 40
#: How far the choice among a prompt's candidates breaks a tie between two pairs that are as likely to be wrong.
TIE = 0.001


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """A response as the judge in force sees it. ``spread``: s.d. of its samples; ``other``: another judge's score."""

    score: float | None
    spread: float | None = None
    other: float | None = None


Group = Sequence[JudgedResponse]


@dataclass(frozen=True, slots=True)
class ScoreVariances:
    """Variances within a prompt, in squared points: of quality, and of the errors of both judges."""

    quality: float
    force: float
    other: float


#: An additive 5-point judge of whom nothing is known: half of what it says is quality.
DEFAULT_VARIANCES = ScoreVariances(quality=1.0, force=1.0, other=1.0)


def estimate_variances(groups: Iterable[Group]) -> ScoreVariances:
    """The variances by which two judges' scores of the same prompts agree, prompts as groups of responses.

    The judges' covariance within a prompt is the variance of quality; what is left of each variance is error.
    """
    own = others = shared = 0.0
    degrees = seen = 0
    for group in groups:
        both = [(row.score, row.other) for row in group if row.score is not None and row.other is not None]
        if len(both) < 2:
            continue
        force_mean = sum(force for force, _ in both) / len(both)
        other_mean = sum(other for _, other in both) / len(both)
        for force, other in both:
            own += (force - force_mean) ** 2
            others += (other - other_mean) ** 2
            shared += (force - force_mean) * (other - other_mean)
        degrees += len(both) - 1
        seen += len(both)
    if seen < ENOUGH or not own or not others:
        return DEFAULT_VARIANCES
    own, others, shared = own / degrees, others / degrees, shared / degrees
    smaller = min(own, others)
    quality = min(max(shared, LEAST_SHARE * smaller), MOST_SHARE * smaller)
    return ScoreVariances(quality, own - quality, others - quality)


def _qualities(group: Group, trust: ScoreVariances) -> list[tuple[float, float]]:
    """Mean and variance of each response's quality around its prompt's mean, given what the judges say."""
    centre = _mean([row.score for row in group])
    other_centre = _mean([row.other for row in group])
    found = []
    for row in group:
        precision, pull = 1 / trust.quality, 0.0
        if row.score is not None:
            weight = 1 / (trust.force + (row.spread or 0.0) ** 2)
            precision, pull = precision + weight, pull + weight * (row.score - centre)
        if row.other is not None:
            weight = 1 / trust.other
            precision, pull = precision + weight, pull + weight * (row.other - other_centre)
        found.append((pull / precision, 1 / precision))
    return found


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _below(value: float, mean: float, variance: float) -> float:
    """Probability that a normal variable lies below a value."""
    return 0.5 * math.erfc((mean - value) / math.sqrt(2 * variance))


def pair_impact(
    chosen: JudgedResponse, rejected: JudgedResponse, others: Group = (), trust: ScoreVariances = DEFAULT_VARIANCES
) -> float:
    """Probability that the rejected response is the better one, 0 to 1; a half where no judge says anything.

    ``others`` are the prompt's further responses. Between pairs that are equally likely to be wrong, one whose choice
    was close to arbitrary comes first: another response could as well stand in it.
    """
    group = [chosen, rejected, *others]
    (high, high_variance), (low, low_variance), *rest = _qualities(group, trust)
    flip = _below(0.0, high - low, high_variance + low_variance)
    arbitrary = max(
        (
            max(_below(0.0, high - mean, high_variance + variance), _below(0.0, mean - low, variance + low_variance))
            for mean, variance in rest
        ),
        default=0.0,
    )
    return (1 - TIE) * flip + TIE * arbitrary


def score_impact(response: JudgedResponse, group: Group, trust: ScoreVariances = DEFAULT_VARIANCES) -> float:
    """Probability that a person's score of one response (of ``group``) changes its prompt's max-min choice.

    The others keep their scores. An unparsed response takes no part until a person scores it: 1.
    """
    place = next((place for place, row in enumerate(group) if row is response), None)
    rest = [row.score for number, row in enumerate(group) if number != place and row.score is not None]
    if response.score is None or place is None or not rest:
        return 1.0
    mean, variance = _qualities(group, trust)[place]
    mean += _mean([row.score for row in group])
    above, below = 1 - _below(max(rest), mean, variance), _below(min(rest), mean, variance)
    chosen, rejected = response.score > max(rest), response.score < min(rest)
    change = 1 - above if chosen else 1 - below if rejected else above + below
    return min(1.0, max(0.0, change))
