"""Order of a labeling queue: items first whose review is most likely to change the training set.

The model has one latent factor, the quality of a response. A judge's score is quality plus the judge's error, both
normal around the mean of the prompt; the variance of a response's samples adds to the error. The variances are
estimated from the agreement of two judges on the queue's items (method of moments), without people's answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.domain.scores import comparable

#: Bounds of the share of a judge's variance within a prompt that is attributed to quality.
LEAST_SHARE, MOST_SHARE = 0.05, 0.95
#: Minimum number of responses with two scores; with fewer, :data:`DEFAULT_VARIANCES` is used.
ENOUGH = 40
#: Weight of the choice among a prompt's candidates, which only breaks ties between equally uncertain pairs.
TIE = 0.001


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """A response with its score in force, the standard deviation of its samples, and another judge's score."""

    score: float | None
    spread: float | None = None
    other: float | None = None


Group = Sequence[JudgedResponse]


@dataclass(frozen=True, slots=True)
class ScoreVariances:
    """Variances within a prompt, in squared points: quality, error of the judge in force, error of the other judge."""

    quality: float
    judge: float
    other: float


#: Used without data: half of the variance of a 5-point judge is quality.
DEFAULT_VARIANCES = ScoreVariances(quality=1.0, judge=1.0, other=1.0)


def estimate_variances(groups: Iterable[Group]) -> ScoreVariances:
    """Estimate the variances from two judges' scores of the same responses, grouped by prompt.

    The covariance of the judges within a prompt estimates the variance of quality; the remainder of each variance is
    error.
    """
    own = others = shared = 0.0
    degrees = count = 0
    for group in groups:
        both = [(row.score, row.other) for row in group if row.score is not None and row.other is not None]
        if len(both) < 2:
            continue
        judge_mean = sum(judge for judge, _ in both) / len(both)
        other_mean = sum(other for _, other in both) / len(both)
        for judge, other in both:
            own += (judge - judge_mean) ** 2
            others += (other - other_mean) ** 2
            shared += (judge - judge_mean) * (other - other_mean)
        degrees += len(both) - 1
        count += len(both)
    if count < ENOUGH or not own or not others:
        return DEFAULT_VARIANCES
    own, others, shared = own / degrees, others / degrees, shared / degrees
    smaller = min(own, others)
    quality = min(max(shared, LEAST_SHARE * smaller), MOST_SHARE * smaller)
    return ScoreVariances(quality, own - quality, others - quality)


def _qualities(group: Group, variances: ScoreVariances) -> list[tuple[float, float]]:
    """Return the posterior mean and variance of each response's quality, relative to the mean of the prompt."""
    centre = _mean([row.score for row in group])
    other_centre = _mean([row.other for row in group])
    qualities = []
    for row in group:
        precision, pull = 1 / variances.quality, 0.0
        if row.score is not None:
            weight = 1 / (variances.judge + (row.spread or 0.0) ** 2)
            precision, pull = precision + weight, pull + weight * (row.score - centre)
        if row.other is not None:
            weight = 1 / variances.other
            precision, pull = precision + weight, pull + weight * (row.other - other_centre)
        qualities.append((pull / precision, 1 / precision))
    return qualities


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _below(value: float, mean: float, variance: float) -> float:
    """Return the probability that a normal variable is below a value."""
    return 0.5 * math.erfc((mean - value) / math.sqrt(2 * variance))


def pair_impact(
    chosen: JudgedResponse, rejected: JudgedResponse, others: Group = (), variances: ScoreVariances = DEFAULT_VARIANCES
) -> float:
    """Return the probability that the rejected response is better than the chosen one; 0.5 without scores.

    ``others`` are the other responses of the prompt. Of equally uncertain pairs, one that another response nearly
    replaced ranks higher.
    """
    group = [chosen, rejected, *others]
    (high, high_variance), (low, low_variance), *remaining = _qualities(group, variances)
    flip = _below(0.0, high - low, high_variance + low_variance)
    arbitrary = max(
        (
            max(_below(0.0, high - mean, high_variance + variance), _below(0.0, mean - low, variance + low_variance))
            for mean, variance in remaining
        ),
        default=0.0,
    )
    return (1 - TIE) * flip + TIE * arbitrary


def score_impact(response: JudgedResponse, group: Group, variances: ScoreVariances = DEFAULT_VARIANCES) -> float:
    """Return the probability that a person's score of ``response`` changes the max-min pair of its prompt.

    ``group`` has all responses of the prompt. The result is 1 for an unparsed response.
    """
    place = next((place for place, row in enumerate(group) if row is response), None)
    others = [row.score for number, row in enumerate(group) if number != place and row.score is not None]
    if response.score is None or place is None or not others:
        return 1.0
    mean, variance = _qualities(group, variances)[place]
    mean += _mean([row.score for row in group])
    above, below = 1 - _below(max(others), mean, variance), _below(min(others), mean, variance)
    score, rivals = comparable(response.score), [comparable(other) for other in others]
    chosen, rejected = score > max(rivals), score < min(rivals)
    change = 1 - above if chosen else 1 - below if rejected else above + below
    return min(1.0, max(0.0, change))
