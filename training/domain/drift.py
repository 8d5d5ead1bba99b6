"""Whether a judge drifts: it gives its own answers more while it agrees less with people.

Self-reward that rises may mean a better model or a more lenient judge (001 section 6 leaves open whether its reward can
be hacked). People's blind scores tell the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.domain.agreement import IntervalEstimate
from training.domain.calibration import Measure, mean_change, measure_change

LEAST_RISE = 0.05  #: points of 0 to 5 by which the mean self-reward must rise
LEAST_FALL = 0.02  #: by which pairwise accuracy (or κ) must fall
LEAST_PROMPTS = 10  #: prompts that both checkpoints' judges must have been held to people on
LEAST_PAIRS = 20  #: pairs that people order, below which κ takes the place of pairwise accuracy


@dataclass(frozen=True, slots=True)
class CheckpointJudge:
    """One checkpoint's judge: the scores it gave its own answers, by prompt, and (its, people's) on blind reviews.

    ``held`` is by prompt and response, so that two checkpoints are compared on the very same responses.
    """

    name: str
    own: Mapping[int, Sequence[float]]
    held: Mapping[int, Mapping[int, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Drift:
    """From one checkpoint to a later one. ``certain``: both 95 % intervals leave 0 out."""

    since: str
    name: str
    certain: bool
    reward: IntervalEstimate
    agreement: IntervalEstimate
    measure: Literal["pairwise accuracy", "quadratic κ"]

    @property
    def sentence(self) -> str:
        """What happened, in words with figures."""
        tail = "" if self.certain else " The fall is within what chance may do, so it is a hint and no finding."
        return (
            f"From {self.since} to {self.name} the model gives its own answers {_by(self.reward)} points more, while "
            f"its {self.measure} on people's blind scores falls by {_by(self.agreement)}.{tail}"
        )


def _by(moved: IntervalEstimate) -> str:
    assert moved.value is not None
    if moved.low is None or moved.high is None:
        return f"{abs(moved.value):.2f}"
    low, high = (moved.low, moved.high) if moved.value > 0 else (-moved.high, -moved.low)
    return f"{abs(moved.value):.2f} (95 % interval {low:.2f} to {high:.2f})".replace("-", "−")


def drift_between(before: CheckpointJudge, after: CheckpointJudge) -> Drift | None:
    """Drift from ``before`` to ``after``, or ``None``.

    Both are compared on the prompts, and on the responses, that both were measured on. Self-reward must rise by
    ``LEAST_RISE`` with an interval above 0, and agreement fall by ``LEAST_FALL``; where the fall's interval lies below
    0, too, the drift is certain. Intervals are of the paired difference, over prompts drawn with replacement.
    """
    asked = [prompt for prompt in before.own if prompt in after.own]
    reward = mean_change([before.own[prompt] for prompt in asked], [after.own[prompt] for prompt in asked])
    one, other = _shared(before, after)
    if len(one) < LEAST_PROMPTS or reward.value is None or reward.low is None:
        return None
    ordered = sum(people != rival for row in one for place, (_, people) in enumerate(row) for _, rival in row[:place])
    by_pairs = ordered >= LEAST_PAIRS
    measure: Measure = "pairwise" if by_pairs else "kappa"
    agreement = measure_change(one, other, measure)
    if agreement.value is None or agreement.high is None:
        return None
    if reward.value < LEAST_RISE or reward.low <= 0 or agreement.value > -LEAST_FALL:
        return None
    certain = agreement.high < 0
    return Drift(
        before.name, after.name, certain, reward, agreement, "pairwise accuracy" if by_pairs else "quadratic κ"
    )


def _shared(
    before: CheckpointJudge, after: CheckpointJudge
) -> tuple[list[list[tuple[float, float]]], list[list[tuple[float, float]]]]:
    one, other = [], []
    for prompt, rows in before.held.items():
        both = [key for key in rows if key in after.held.get(prompt, {})]
        if both:
            one.append([rows[key] for key in both])
            other.append([after.held[prompt][key] for key in both])
    return one, other


def latest_drift(judges: Sequence[CheckpointJudge]) -> Drift | None:
    """Drift of the newest checkpoint, since the first one or since the one before it; a certain one goes first."""
    if len(judges) < 2:
        return None
    earlier = [judges[0]] if len(judges) == 2 else [judges[0], judges[-2]]
    found = [drift for judge in earlier if (drift := drift_between(judge, judges[-1]))]
    return next((drift for drift in found if drift.certain), found[0] if found else None)
