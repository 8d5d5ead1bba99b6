"""What people see first: the items that they are most likely to change."""

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


def test_where_no_judge_says_anything_a_flip_is_as_likely_as_not() -> None:
    assert pair_impact(JudgedResponse(None), JudgedResponse(None)) == pytest.approx((1 - TIE) / 2)


def test_a_second_judge_that_sees_it_the_other_way_round_comes_before_one_that_agrees() -> None:
    against = pair_impact(JudgedResponse(4.0, other=1.0), JudgedResponse(2.0, other=4.0))
    alone = pair_impact(JudgedResponse(4.0), JudgedResponse(2.0))
    for_it = pair_impact(JudgedResponse(4.0, other=4.0), JudgedResponse(2.0, other=1.0))
    assert against > 0.5 > alone > for_it


def test_a_pair_whose_choice_was_nearly_arbitrary_comes_before_a_clear_one() -> None:
    pair = JudgedResponse(4.0, other=3.0), JudgedResponse(2.0, other=3.0)
    assert pair_impact(*pair, [JudgedResponse(4.0)]) > pair_impact(*pair, [JudgedResponse(3.0)])


def _two_judges(force_error: float, other_error: float) -> list[list[JudgedResponse]]:
    """2,000 prompts of four responses whose quality has the variance 1, as two judges see it."""
    draw = random.Random(1)
    prompts = [[draw.gauss(0, 1) for _ in range(4)] for _ in range(2000)]
    return [
        [JudgedResponse(value + draw.gauss(0, force_error), None, value + draw.gauss(0, other_error)) for value in row]
        for row in prompts
    ]


def test_how_far_each_judge_is_to_be_trusted_is_learnt_from_how_far_they_agree() -> None:
    trust = estimate_variances(_two_judges(force_error=2.0, other_error=0.5))
    assert trust.quality == pytest.approx(1.0, abs=0.1)
    assert trust.force == pytest.approx(4.0, abs=0.2)
    assert trust.other == pytest.approx(0.25, abs=0.1)
    assert estimate_variances([[JudgedResponse(1.0), JudgedResponse(2.0)]]) == DEFAULT_VARIANCES


def test_the_impact_of_a_pair_is_the_chance_that_it_is_wrong() -> None:
    """Drawn from the model itself, so the share of wrong pairs must be what was promised."""
    draw, trust = random.Random(2), ScoreVariances(quality=1.0, force=2.0, other=0.5)
    promised, wrong = [], []
    for _ in range(4000):
        truth = [draw.gauss(0, 1) for _ in range(40)]
        group = [JudgedResponse(t + draw.gauss(0, 2**0.5), None, t + draw.gauss(0, 0.5**0.5)) for t in truth]
        # Of forty responses the mean hides nothing, as the model takes it; two of them make the pair.
        high, low = sorted((0, 1), key=lambda place: -float(group[place].score or 0.0))
        promised.append(pair_impact(group[high], group[low], group[2:], trust))
        wrong.append(truth[high] < truth[low])
    assert sum(wrong) / len(wrong) == pytest.approx(sum(promised) / len(promised), abs=0.02)
    sure = [is_wrong for chance, is_wrong in zip(promised, wrong, strict=True) if chance > 0.7]
    assert sum(sure) / len(sure) > 0.7


def test_an_unparsed_response_and_one_at_the_edge_come_before_one_in_the_middle() -> None:
    group = [JudgedResponse(score) for score in (0.0, 2.5, 5.0)]
    assert score_impact(JudgedResponse(None), group) == 1.0
    assert score_impact(group[2], group) > score_impact(group[1], group)


def test_every_figure_is_between_nothing_and_one() -> None:
    draw = random.Random(1)

    def some() -> JudgedResponse:
        return JudgedResponse(*(draw.choice([None, draw.uniform(0, 5)]) for _ in range(3)))

    for _ in range(500):
        group = [some() for _ in range(4)]
        assert 0 <= pair_impact(group[0], group[1], group[2:]) <= 1
        assert 0 <= score_impact(group[0], group) <= 1


def test_the_wrong_pairs_of_a_real_judge_come_at_least_one_and_a_half_times_as_early(real_data: Path) -> None:
    """The student M1 judged, Gemini is the other judge, and gpt's scores stand in for people."""
    queue = impact.queue_of(impact.eft(real_data, "M1", "gemini"))
    wrong = [item.gap < 0 for item in queue]
    order = sorted(range(len(queue)), key=lambda place: -queue[place].impact)
    assert (len(queue), sum(wrong)) == (185, 47)
    assert impact.found(order, wrong)[1] >= 1.5 * 0.2


def test_a_judge_that_says_what_people_say_is_calibrated_and_one_that_adds_a_point_is_off_by_it() -> None:
    people = [[0.0, 2.0, 4.0], [1.0, 3.0, 4.0], [0.0, 1.0, 3.0]] * 5
    true = calibrate([[(score, score) for score in prompt] for prompt in people])
    assert (true.mean_error.value, true.kappa.value, true.pairwise.value) == (0.0, 1.0, 1.0)
    kind = calibrate([[(score + 1, score) for score in prompt] for prompt in people])
    assert kind.mean_error.value == pytest.approx(1.0)
    assert kind.pairwise.value == 1.0
    assert kind.spearman.value == pytest.approx(1.0)
    assert calibrate([]).mean_error.value is None
