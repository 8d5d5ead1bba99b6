"""Judge–human agreement: statistics against plain computation, intervals, and drift."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training.domain.agreement import cohen_kappa
from training.domain.calibration import Scored, calibrate, measure_change
from training.domain.drift import CheckpointJudge, drift_between, latest_drift
from training.domain.metrics import pairwise_with_ties, spearman


def scored(seed: int = 1, prompts: int = 40, noise: float = 1.0) -> list[Scored]:
    """Return prompts with one to five responses each; the judge's score is people's score plus noise."""
    drawn = random.Random(seed)
    found: list[Scored] = []
    for _ in range(prompts):
        people = [float(drawn.randint(0, 5)) for _ in range(drawn.randint(1, 5))]
        found.append([(min(5.0, max(0.0, one + drawn.choice((-noise, 0.0, noise / 3)))), one) for one in people])
    return found


def test_every_statistic_equals_the_plain_function() -> None:
    prompts = scored()
    judge, people = zip(*[pair for prompt in prompts for pair in prompt], strict=True)
    found = calibrate(prompts)
    assert found.responses == len(judge)
    assert found.mean_error.value == pytest.approx(np.mean(np.array(judge) - np.array(people)))
    assert found.absolute_error.value == pytest.approx(np.mean(np.abs(np.array(judge) - np.array(people))))
    assert found.kappa.value == pytest.approx(
        cohen_kappa([round(one) for one in judge], [round(one) for one in people], weights="quadratic")
    )
    assert found.spearman.value == pytest.approx(spearman(judge, people))
    right, pairs = pairwise_with_ties(
        [[a for a, _ in prompt] for prompt in prompts], [[b for _, b in prompt] for prompt in prompts]
    )
    assert found.pairwise.value == pytest.approx(right)
    assert found.pairs == pairs


def test_a_bootstrap_draw_is_the_statistic_of_the_drawn_prompts() -> None:
    prompts = scored(prompts=6)
    one = calibrate(prompts, draws=1, seed=7)
    times = np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), size=1)[0]
    drawn = [prompt for prompt, often in zip(prompts, times, strict=True) for _ in range(often)]
    again = calibrate(drawn, draws=1)
    for name in ("mean_error", "absolute_error", "kappa", "spearman", "pairwise"):
        assert getattr(one, name).low == pytest.approx(getattr(again, name).value), name


def test_the_curve_counts_every_response_once_and_shows_peoples_mean() -> None:
    found = calibrate([[(4.0, 2.0), (4.3, 3.0)], [(1.0, 1.0)], [(3.6, 4.0)]])
    assert [(point.score, point.people, point.responses) for point in found.curve] == [(1, 1.0, 1), (4, 3.0, 3)]
    point = found.curve[1]
    assert point.low is not None
    assert point.low <= 3.0 <= (point.high or 0)


def test_an_undefined_statistic_is_none() -> None:
    empty = calibrate([])
    assert empty.mean_error.value is empty.kappa.value is empty.pairwise.value is None
    assert empty.curve == ()
    alike = calibrate([[(5.0, 5.0)], [(5.0, 5.0)]])
    assert alike.mean_error.value == 0.0
    assert alike.kappa.value is alike.spearman.value is alike.pairwise.value is None


def test_the_interval_has_its_nominal_coverage() -> None:
    truth, inside = np.mean([-1.0, 0.0, 1 / 3]), 0
    for seed in range(200):
        drawn = random.Random(seed)
        prompts = [[(2.0 + drawn.choice((-1.0, 0.0, 1 / 3)), 2.0)] for _ in range(60)]
        error = calibrate(prompts, draws=200, seed=seed).mean_error
        assert error.low is not None
        assert error.high is not None
        inside += bool(error.low <= truth <= error.high)
    assert 0.88 <= inside / 200 <= 0.99


def test_equal_judges_have_no_change_and_the_paired_interval_is_narrower() -> None:
    prompts = scored(prompts=60)
    still = measure_change(prompts, prompts, "kappa")
    assert (still.value, still.low, still.high) == (0.0, 0.0, 0.0)
    kinder = [[(min(5.0, judge + 0.5), people) for judge, people in prompt] for prompt in prompts]
    moved = measure_change(prompts, kinder, "mean_error")
    apart = calibrate(prompts).mean_error, calibrate(kinder).mean_error
    assert moved.low is not None
    assert moved.high is not None
    assert moved.low > 0
    assert moved.high - moved.low < sum((one.high or 0) - (one.low or 0) for one in apart)


def judged(name: str, gives: float, blind_share: float, seed: int = 3, prompts: int = 60) -> CheckpointJudge:
    """Return a judge that gives itself ``gives`` and scores a share of the held-out prompts at random."""
    drawn = random.Random(seed)
    held = {}
    for prompt in range(prompts):
        people = [float(score) for score in drawn.sample(range(6), 4)]
        own = people[:]
        if drawn.random() < blind_share:
            drawn.shuffle(own)
        held[prompt] = {place: (own[place], people[place]) for place in range(4)}
    return CheckpointJudge(name, {prompt: [gives + (prompt % 3) / 10] for prompt in range(40)}, held)


def test_higher_self_reward_with_lower_agreement_is_drift() -> None:
    found = drift_between(judged("M1", 3.0, 0.1), judged("M3", 4.0, 0.7))
    assert found is not None
    assert found.certain
    assert found.measure == "pairwise accuracy"
    assert (
        "From M1 to M3 the model scores its own answers 1.00 (95 % interval 1.00 to 1.00) points higher"
        in found.sentence
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (judged("M1", 3.0, 0.5), judged("M2", 4.0, 0.0)),  # higher self-reward and better agreement
        (judged("M1", 4.0, 0.0), judged("M2", 3.0, 0.8)),  # lower self-reward and agreement
        (judged("M1", 3.0, 0.1), judged("M2", 4.0, 0.1)),  # equal agreement
        (judged("M1", 3.0, 0.0, prompts=9), judged("M2", 4.0, 0.9, prompts=9)),  # too few prompts
        (judged("M1", 3.0, 0.0), CheckpointJudge("M2", {}, {})),  # not measured
    ],
)
def test_nothing_else_is_drift(before: CheckpointJudge, after: CheckpointJudge) -> None:
    assert drift_between(before, after) is None


def test_a_fall_that_is_not_significant_is_uncertain_drift() -> None:
    found = drift_between(judged("M1", 3.0, 0.30, seed=5), judged("M2", 4.0, 0.38, seed=6))
    assert found is not None
    assert not found.certain
    assert found.sentence.endswith("not statistically significant.")


def test_one_response_per_prompt_is_compared_by_kappa() -> None:
    def alone(judge: CheckpointJudge) -> CheckpointJudge:
        return CheckpointJudge(judge.name, judge.own, {prompt: {0: rows[0]} for prompt, rows in judge.blind.items()})

    found = drift_between(alone(judged("M1", 3.0, 0.0)), alone(judged("M2", 4.0, 0.9)))
    assert found is not None
    assert found.measure == "quadratic κ"


def test_slow_drift_is_detected_against_the_first_judge() -> None:
    slow = [judged("M1", 3.0, 0.0), judged("M2", 3.5, 0.3), judged("M3", 4.0, 0.36)]
    found = latest_drift(slow)
    assert found is not None
    assert (found.since, found.name, found.certain) == ("M1", "M3", True)
    assert latest_drift(slow[:1]) is None
