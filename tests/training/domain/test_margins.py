"""Margin statistics as in Yu et al. (2024), checked against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.domain.margins import MeasuredPair, fisher_interval, margin_figures
from training.domain.metrics import kl_estimate

number = st.integers(-60, 60).map(lambda value: value / 4)


def _pair(margin: float, difference: float | None = None, augmented: float = 0.0) -> MeasuredPair:
    return MeasuredPair(margin / 2, -margin / 2, augmented, difference)


@given(st.lists(st.tuples(number, st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])), min_size=4, max_size=40))
def test_the_three_correlations_equal_scipy(rows: list[tuple[float, float]]) -> None:
    found = margin_figures([_pair(margin, difference) for margin, difference in rows])
    margins, differences = zip(*rows, strict=True)
    if len(set(margins)) < 2 or len(set(differences)) < 2:
        assert (found.pearson, found.spearman, found.kendall, found.pearson_low) == (None, None, None, None)
        return
    assert found.pearson == pytest.approx(stats.pearsonr(margins, differences).statistic, abs=1e-9)
    assert found.spearman == pytest.approx(stats.spearmanr(margins, differences).statistic, abs=1e-9)
    assert found.kendall == pytest.approx(stats.kendalltau(margins, differences).statistic, abs=1e-9)


def test_the_interval_of_pearson_equals_scipy() -> None:
    margins, differences = [0.1, 2.0, -1.0, 3.5, 0.7, 1.1], [1.0, 1.5, 0.5, 2.0, 2.5, 0.5]
    expected = stats.pearsonr(margins, differences).confidence_interval(0.95)
    found = margin_figures([_pair(*row) for row in zip(margins, differences, strict=True)])
    assert (found.pearson_low, found.pearson_high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert fisher_interval(0.2, 3) is None
    assert fisher_interval(1.0, 50) is None


@pytest.mark.parametrize("kind", ["pearson", "spearman", "kendall"])
def test_the_intervals_of_correlations_agree_with_the_bootstrap(kind: str) -> None:
    draw = np.random.default_rng(2)
    margins = draw.normal(size=150)
    differences = margins + draw.normal(scale=1.5, size=150)
    found = margin_figures([_pair(*row) for row in zip(margins.tolist(), differences.tolist(), strict=True)])
    statistic = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}[kind]
    picks = draw.integers(0, 150, (200, 150))
    expected = np.percentile([statistic(margins[pick], differences[pick])[0] for pick in picks], [2.5, 97.5])
    assert (getattr(found, f"{kind}_low"), getattr(found, f"{kind}_high")) == pytest.approx(expected, abs=0.06)


def test_accuracy_and_margin_have_intervals_over_pairs() -> None:
    found = margin_figures([_pair(margin, augmented=-margin) for margin in (2.0, 3.0, -1.0, 0.5, 1.5)])
    expected = stats.binomtest(4, 5).proportion_ci(method="wilson")
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx((expected.low, expected.high))
    assert found.margin_low is not None
    assert found.margin_high is not None
    assert found.margin_low < 1.2 < found.margin_high
    assert found.augmented_margin_low == pytest.approx(-found.margin_high)
    assert found.augmented_accuracy_high == pytest.approx(1 - found.accuracy_low)


def test_margin_and_accuracies_count_every_pair_and_correlations_the_scored_ones() -> None:
    pairs = [_pair(2.0, 1.0, 0.5), _pair(-1.0, None, 0.5), _pair(0.0, 3.0, -1.0), _pair(3.0, None, 0.0)]
    found = margin_figures(pairs)
    assert (found.pairs, found.scored) == (4, 2)
    assert found.margin == 1.0
    assert found.accuracy == 0.5  # equal rewards count as incorrect
    assert found.augmented_margin == 0.0
    assert found.augmented_accuracy == 0.5
    assert found.pearson == pytest.approx(-1)


def test_without_pairs_statistics_are_undefined() -> None:
    found = margin_figures([])
    assert (found.pairs, found.margin, found.accuracy, found.pearson) == (0, None, None, None)


def test_the_kl_estimate_is_the_negative_mean_log_ratio() -> None:
    log_ratios = [-3.0, -5.0]  # log π/π_ref of chosen and rejected, nats
    assert kl_estimate(*(0.1 * value for value in log_ratios), beta=0.1) == pytest.approx(4.0)


def test_the_kl_estimate_is_unbiased_on_samples_of_the_reference() -> None:
    reference, policy = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    true = sum(q * math.log(q / p) for q, p in zip(reference, policy, strict=True))
    expected = sum(
        one * other * kl_estimate(math.log(policy[i] / one), math.log(policy[j] / other), beta=1.0)
        for i, one in enumerate(reference)
        for j, other in enumerate(reference)
    )
    assert expected == pytest.approx(true)
