"""Order of the labeling queue by the probability of a change."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.benchmarks import impact
from training.domain.calibration import calibrate
from training.domain.impact import (
    DEFAULT_VARIANCES,
    TIE,
    JudgedResponse,
    ScoreVariances,
    estimate_variances,
    pair_impact,
    score_impact,
)


def test_close_scores_and_unsteady_judges_come_first() -> None:
    def likely(margin: float, spread: float = 0.0) -> float:
        return pair_impact(JudgedResponse(1 + margin, spread), JudgedResponse(1.0, spread))

    assert likely(0.0) == pytest.approx((1 - TIE) / 2)
    assert likely(0.5) > likely(2.0) > likely(4.0)
    assert likely(2.0, spread=2.0) > likely(2.0, spread=0.1)


def test_without_scores_the_probability_is_one_half() -> None:
    assert pair_impact(JudgedResponse(None), JudgedResponse(None)) == pytest.approx((1 - TIE) / 2)


def test_pairs_on_which_the_second_judge_disagrees_come_first() -> None:
    against = pair_impact(JudgedResponse(4.0, other=1.0), JudgedResponse(2.0, other=4.0))
    alone = pair_impact(JudgedResponse(4.0), JudgedResponse(2.0))
    for_it = pair_impact(JudgedResponse(4.0, other=4.0), JudgedResponse(2.0, other=1.0))
    assert against > 0.5 > alone > for_it


def test_a_nearly_arbitrary_pair_comes_before_a_clear_one() -> None:
    pair = JudgedResponse(4.0, other=3.0), JudgedResponse(2.0, other=3.0)
    assert pair_impact(*pair, [JudgedResponse(4.0)]) > pair_impact(*pair, [JudgedResponse(3.0)])


def _two_judges(judge_error: float, other_error: float) -> list[list[JudgedResponse]]:
    """Return two judges' scores of 2,000 prompts with four responses; quality has variance 1."""
    draw = random.Random(1)
    prompts = [[draw.gauss(0, 1) for _ in range(4)] for _ in range(2000)]
    return [
        [JudgedResponse(value + draw.gauss(0, judge_error), None, value + draw.gauss(0, other_error)) for value in row]
        for row in prompts
    ]


def test_variances_are_estimated_from_the_agreement_of_two_judges() -> None:
    variances = estimate_variances(_two_judges(judge_error=2.0, other_error=0.5))
    assert variances.quality == pytest.approx(1.0, abs=0.1)
    assert variances.judge == pytest.approx(4.0, abs=0.2)
    assert variances.other == pytest.approx(0.25, abs=0.1)
    assert estimate_variances([[JudgedResponse(1.0), JudgedResponse(2.0)]]) == DEFAULT_VARIANCES


def test_the_impact_of_a_pair_is_the_probability_that_it_is_wrong() -> None:
    """For data drawn from the model, the share of wrong pairs equals the predicted probability."""
    draw, variances = random.Random(2), ScoreVariances(quality=1.0, judge=2.0, other=0.5)
    promised, wrong = [], []
    for _ in range(4000):
        truth = [draw.gauss(0, 1) for _ in range(40)]
        group = [JudgedResponse(t + draw.gauss(0, 2**0.5), None, t + draw.gauss(0, 0.5**0.5)) for t in truth]
        # With forty responses the sample mean is close to the true mean that the model assumes.
        high, low = sorted((0, 1), key=lambda place: -float(group[place].score or 0.0))
        promised.append(pair_impact(group[high], group[low], group[2:], variances))
        wrong.append(truth[high] < truth[low])
    assert sum(wrong) / len(wrong) == pytest.approx(sum(promised) / len(promised), abs=0.02)
    sure = [is_wrong for chance, is_wrong in zip(promised, wrong, strict=True) if chance > 0.7]
    assert sum(sure) / len(sure) > 0.7


def test_an_unparsed_response_and_one_at_the_edge_come_before_one_in_the_middle() -> None:
    group = [JudgedResponse(score) for score in (0.0, 2.5, 5.0)]
    assert score_impact(JudgedResponse(None), group) == 1.0
    assert score_impact(group[2], group) > score_impact(group[1], group)


def test_every_impact_is_between_zero_and_one() -> None:
    draw = random.Random(1)

    def some() -> JudgedResponse:
        return JudgedResponse(*(draw.choice([None, draw.uniform(0, 5)]) for _ in range(3)))

    for _ in range(500):
        group = [some() for _ in range(4)]
        assert 0 <= pair_impact(group[0], group[1], group[2:]) <= 1
        assert 0 <= score_impact(group[0], group) <= 1


def test_wrong_pairs_of_a_recorded_judge_come_earlier_by_a_factor_of_one_and_a_half(real_data: Path) -> None:
    """M1 is the judge in force, Gemini the other judge, and GPT's scores replace people's."""
    queue = impact.queue_of(impact.eft(real_data, "M1", "gemini"))
    wrong = [item.gap < 0 for item in queue]
    order = sorted(range(len(queue)), key=lambda place: -queue[place].impact)
    assert (len(queue), sum(wrong)) == (185, 47)
    assert impact.found(order, wrong)[1] >= 1.5 * 0.2


def test_calibration_detects_a_constant_offset() -> None:
    people = [[0.0, 2.0, 4.0], [1.0, 3.0, 4.0], [0.0, 1.0, 3.0]] * 5
    true = calibrate([[(score, score) for score in prompt] for prompt in people])
    assert (true.mean_error.value, true.kappa.value, true.pairwise.value) == (0.0, 1.0, 1.0)
    kind = calibrate([[(score + 1, score) for score in prompt] for prompt in people])
    assert kind.mean_error.value == pytest.approx(1.0)
    assert kind.pairwise.value == 1.0
    assert kind.spearman.value == pytest.approx(1.0)
    assert calibrate([]).mean_error.value is None
