"""Detection of judge drift: the judge scores its own answers higher while it agrees with people less.

Rising self-reward can mean a better model or a more lenient judge; Yuan et al. (2024), section 6, leave reward hacking
open. People's blind scores distinguish the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.domain.agreement import IntervalEstimate
from training.domain.calibration import Measure, mean_change, measure_change
from training.domain.scores import comparable

LEAST_RISE = 0.05  #: minimum rise of the mean self-reward, in points of 0 to 5
LEAST_FALL = 0.02  #: minimum fall of pairwise accuracy (or κ)
LEAST_PROMPTS = 10  #: minimum number of prompts with judge–human agreement of both checkpoints
LEAST_PAIRS = 20  #: minimum number of pairs that people order; with fewer, κ replaces pairwise accuracy


@dataclass(frozen=True, slots=True)
class CheckpointJudge:
    """The scores of one checkpoint as a judge.

    ``own`` has the scores of its own answers by prompt. ``blind`` has (judge's score, people's blind score) by prompt
    and response, so that two checkpoints are compared on the same responses.
    """

    name: str
    own: Mapping[int, Sequence[float]]
    blind: Mapping[int, Mapping[int, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift from the checkpoint ``since`` to ``name``. ``certain``: both 95 % intervals exclude 0."""

    since: str
    name: str
    certain: bool
    reward: IntervalEstimate
    agreement: IntervalEstimate
    measure: Literal["pairwise accuracy", "quadratic κ"]

    @property
    def sentence(self) -> str:
        """The drift as a sentence with values and intervals."""
        tail = "" if self.certain else " The fall is not statistically significant."
        return (
            f"From {self.since} to {self.name} the model scores its own answers {_amount(self.reward)} points higher, "
            f"while its {self.measure} on people's blind scores falls by {_amount(self.agreement)}.{tail}"
        )


def _amount(moved: IntervalEstimate) -> str:
    assert moved.value is not None
    if moved.low is None or moved.high is None:
        return f"{abs(moved.value):.2f}"
    low, high = (moved.low, moved.high) if moved.value > 0 else (-moved.high, -moved.low)
    return f"{abs(moved.value):.2f} (95 % interval {low:.2f} to {high:.2f})".replace("-", "−")


def drift_between(before: CheckpointJudge, after: CheckpointJudge) -> Drift | None:
    """Return the drift from ``before`` to ``after``, or ``None`` if there is none.

    Only prompts and responses of both checkpoints are compared. Self-reward must rise by ``LEAST_RISE`` with an
    interval above 0, and agreement must fall by ``LEAST_FALL``. The drift is certain if the interval of the fall is
    below 0 as well. Intervals are those of the paired difference, by bootstrap over prompts.
    """
    shared = [prompt for prompt in before.own if prompt in after.own]
    reward = mean_change([before.own[prompt] for prompt in shared], [after.own[prompt] for prompt in shared])
    one, other = _shared(before, after)
    if len(one) < LEAST_PROMPTS or reward.value is None or reward.low is None:
        return None
    ordered = sum(
        comparable(people) != comparable(rival)
        for row in one
        for place, (_, people) in enumerate(row)
        for _, rival in row[:place]
    )
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
    for prompt, rows in before.blind.items():
        both = [key for key in rows if key in after.blind.get(prompt, {})]
        if both:
            one.append([rows[key] for key in both])
            other.append([after.blind[prompt][key] for key in both])
    return one, other


def latest_drift(judges: Sequence[CheckpointJudge]) -> Drift | None:
    """Return the drift of the newest checkpoint, from the first or the previous one; certain drift takes priority."""
    if len(judges) < 2:
        return None
    earlier = [judges[0]] if len(judges) == 2 else [judges[0], judges[-2]]
    drifts = [drift for judge in earlier if (drift := drift_between(judge, judges[-1]))]
    return next((drift for drift in drifts if drift.certain), drifts[0] if drifts else None)
