"""Intervals of evaluation figures, against published values, scipy, the bootstrap, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from training.domain import intervals
from training.domain.metric import Metric


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = intervals.wilson_interval(30, 40) or (0, 0)
    expected = stats.binomtest(30, 40).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_a_win_rate_equals_a_published_one() -> None:
    """Fagerland, Lydersen & Laake (2014), table VI: 1 against 7 of 21, Tango's interval -0.517 to -0.026."""
    low, high = intervals.win_rate_interval(1, 13, 7) or (0, 0)
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_ties_narrow_the_interval_of_a_win_rate_as_in_the_bootstrap() -> None:
    low, high = intervals.win_rate_interval(38, 151, 11) or (0, 0)
    outcomes = np.repeat([1.0, 0.5, 0.0], [38, 151, 11])
    expected = intervals.mean_interval(list(outcomes), draws=5000)
    assert expected == pytest.approx((0.535, 0.600), abs=1e-3)
    assert (low, high) == pytest.approx(expected, abs=2.5e-3)
    wilson = intervals.wilson_interval(38 + 151 / 2, 200) or (0, 0)
    assert wilson[1] - wilson[0] > 1.9 * (high - low)


@pytest.mark.parametrize(("wins", "ties", "losses"), [(20, 0, 0), (0, 20, 0), (0, 0, 20), (1, 0, 0), (9, 7, 4)])
def test_the_interval_of_a_win_rate_contains_it_and_is_no_point(wins: int, ties: int, losses: int) -> None:
    low, high = intervals.win_rate_interval(wins, ties, losses) or (0, 0)
    rate = (wins + ties / 2) / (wins + ties + losses)
    assert 0 <= low <= rate <= high <= 1
    assert high - low > 0.05
    mirrored = intervals.win_rate_interval(losses, ties, wins) or (0, 0)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_without_prompts_there_is_no_interval() -> None:
    assert intervals.win_rate_interval(0, 0, 0) is None
    assert intervals.wilson_interval(0, 0) is None


@pytest.mark.parametrize(("n", "win", "lose"), [(20, 0.19, 0.055), (50, 0.4, 0.3), (50, 0.9, 0.05)])
def test_the_interval_of_a_win_rate_covers_the_truth_in_95_of_100_samples(n: int, win: float, lose: float) -> None:
    counts = np.random.default_rng(1).multinomial(n, [win, 1 - win - lose, lose], size=400)
    truth, covered = win + (1 - win - lose) / 2, 0
    for wins, ties, losses in counts.tolist():
        low, high = intervals.win_rate_interval(wins, ties, losses) or (0, 0)
        covered += low <= truth <= high
    assert covered / 400 >= 0.92


def test_the_interval_of_a_mean_is_a_bootstrap_over_prompts_with_a_fixed_seed() -> None:
    scores = [float(place % 6) for place in range(60)]
    low, high = intervals.mean_interval(scores)
    assert (low, high) == intervals.mean_interval(scores)
    half = 1.96 * float(np.std(scores)) / math.sqrt(60)
    assert (low, high) == pytest.approx((2.5 - half, 2.5 + half), abs=0.05)
    assert intervals.mean_interval([3.0]) == (None, None)
    assert intervals.mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_a_paired_difference_is_free_of_the_difficulty_of_the_prompts() -> None:
    before = [float(place % 6) for place in range(60)]
    found = intervals.paired_difference(
        before, [score + 0.2 + 0.1 * (-1) ** place for place, score in enumerate(before)]
    )
    assert found.value == pytest.approx(0.2)
    assert found.low is not None
    assert found.high is not None
    assert 0.15 < found.low < found.high < 0.25
    assert intervals.paired_difference([], []).value is None
    with pytest.raises(ValueError, match="shorter"):
        intervals.paired_difference([1.0, 2.0], [1.0])


def test_a_ratio_counts_only_prompts_with_a_whole() -> None:
    assert intervals.ratio_interval([0, 0], [0, 0]).value is None
    one = intervals.ratio_interval([1, 0], [2, 0])
    assert (one.value, one.low, one.items) == (0.5, None, 1)
    several = intervals.ratio_interval([1, 2, 0, 2], [2, 2, 2, 2])
    assert several.value == 0.625
    assert several.low is not None
    assert several.high is not None
    assert 0 <= several.low < 0.625 < several.high <= 1


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 10, 11, 20, 200])
def test_the_quantile_of_students_t_equals_scipy(freedom: int) -> None:
    assert intervals.t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-5)


def test_the_mean_over_seeds_has_students_interval() -> None:
    values = [0.61, 0.58, 0.66, 0.63]
    found = intervals.over_seeds(values)
    assert found is not None
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean, found.spread) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-5)
    assert intervals.over_seeds([0.5]) == intervals.SeedEstimate(0.5, None, None, None, 1)
    assert intervals.over_seeds([]) is None


UP, DOWN = (Metric("x", "x", better="up"), Metric("x", "x", better="down"))


def test_the_best_interval_overlaps_no_other() -> None:
    apart: dict[int, tuple[float, float] | None] = {0: (0.1, 0.2), 1: (0.3, 0.4), 2: (0.25, 0.28)}
    assert (UP.best_interval(apart), DOWN.best_interval(apart)) == (1, 0)
    assert UP.best_interval({0: (0.1, 0.3), 1: (0.3, 0.4)}) is None
    assert UP.best_interval({0: (0.1, 0.2), 1: None}) is None
    assert UP.best_interval({0: (0.1, 0.2)}) is None
    assert Metric("x", "x").best_interval(apart) is None


def test_a_share_that_is_the_same_on_all_prompts_has_an_interval() -> None:
    whole = intervals.share_interval([3, 3, 3, 3], [3, 3, 3, 3])
    assert (whole.value, whole.low, whole.high) == (1.0, *intervals.wilson_interval(4, 4))
    none = intervals.share_interval([0, 0], [1, 2])
    assert (none.value, none.low, none.high) == (0.0, *intervals.wilson_interval(0, 2))
    mixed = intervals.share_interval([1, 2, 0, 2], [2, 2, 2, 2])
    assert mixed == intervals.ratio_interval([1, 2, 0, 2], [2, 2, 2, 2])
