"""Evaluation statistics against known values and scipy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from training.domain import metrics


def _recorded(folder: Path, judge: str) -> list[list[float | None]]:
    lines = (folder / "eft_scores_200.jsonl").read_text().splitlines()
    rows = [[response["scores"][judge] for response in json.loads(line)["responses"]] for line in lines]
    return [[None if score in (-1, None) else score for score in row] for row in rows]


@pytest.mark.parametrize(
    ("judge", "accuracy", "five_best", "exact", "spearman", "kendall"),
    [("M1", 38.25, 57.1, 3.0, 0.103, 0.090), ("M2", 3.75, 64.7, 0.0, 0.041, 0.037)],
)
def test_the_papers_conventions_reproduce_its_table(
    real_data: Path, judge: str, accuracy: float, five_best: float, exact: float, spearman: float, kendall: float
) -> None:
    found = metrics.reward_modelling_as_in_paper(_recorded(real_data, judge), _recorded(real_data, "gpt"))
    assert found.pairwise_accuracy == pytest.approx(accuracy / 100, abs=1e-9)
    assert found.five_best == pytest.approx(five_best / 100, abs=5e-4)
    assert found.exact_match == pytest.approx(exact / 100, abs=1e-9)
    assert found.spearman == pytest.approx(spearman, abs=5e-4)
    assert found.kendall == pytest.approx(kendall, abs=5e-4)


def test_correlations_equal_scipy() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        x, y = draw.integers(0, 6, 12).astype(float), draw.integers(0, 6, 12).astype(float)
        assert metrics.spearman(list(x), list(y)) == pytest.approx(stats.spearmanr(x, y)[0])
        assert metrics.kendall(list(x), list(y)) == pytest.approx(stats.kendalltau(x, y)[0])
        assert metrics.pearson(list(x), list(y)) == pytest.approx(stats.pearsonr(x, y)[0])


def test_a_correlation_of_constant_values_is_undefined() -> None:
    assert metrics.spearman([1, 1], [1, 2]) is None
    assert metrics.kendall([1], [2]) is None


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (5, 5), (40, 20), (131, 162), (500, 420)])
def test_the_sign_test_equals_scipy(wins: int, losses: int) -> None:
    assert metrics.sign_test(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)


@pytest.mark.parametrize(
    ("ab", "ba", "outcome"),
    [("first", "second", "win"), ("second", "first", "lose"), ("first", "first", "tie"), ("second", "second", "tie"),
     ("tie", "second", "tie"), ("unparsed", "second", "tie"), ("tie", "tie", "tie")],
)  # fmt: skip
def test_a_win_needs_both_orders(ab: str, ba: str, outcome: str) -> None:
    assert metrics.both_orders_outcome(ab, ba) == outcome  # type: ignore[arg-type]


def test_a_head_to_head_counts_ties_as_half() -> None:
    found = metrics.head_to_head(["win", "win", "tie", "lose"])
    assert (found.wins, found.ties, found.losses, found.win_rate) == (2, 1, 1, 0.625)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.625 < found.high


def test_without_comparisons_there_is_no_win_rate() -> None:
    found = metrics.head_to_head([])
    assert (found.win_rate, found.low, found.high, found.p_value) == (None, None, None, None)


def test_pairwise_accuracy_counts_the_order_of_untied_pairs_within_a_prompt() -> None:
    judge, reference = [[5, 3, None], [1, 2]], [[4, 2, 0], [5, 5]]
    assert metrics.pairwise_accuracy(judge, reference) == (1.0, 1)
    assert metrics.pairwise_accuracy([[2, 3]], [[4, 2]]) == (0.0, 1)
    assert metrics.pairwise_accuracy([[None, None]], [[1, 2]]) == (None, 0)


def test_ties_of_the_judge_lower_the_accuracy_with_ties() -> None:
    assert metrics.pairwise_with_ties([[3, 3], [5, 1]], [[1, 2], [4, 2]]) == (0.75, 2)


def test_scores_that_differ_by_rounding_are_ties() -> None:
    mean = (2.7 + 2.7 + 2.7) / 3
    assert mean != 2.7
    assert metrics.ordered_pairs([2.7, mean], [4, 2]) == metrics.OrderedPairs(0.5, 1, 0, 0)
    assert metrics.ordered_pairs([4, 2], [2.7, mean]).pairs == 0


def test_a_missing_score_has_no_outcome() -> None:
    assert metrics.score_outcome(None, 3) is None
    assert metrics.score_outcome(4, 3) == "win"
    assert metrics.score_outcome(3, 4) == "lose"
    assert metrics.score_outcome(3, 3) == "tie"
    assert metrics.score_outcome(2.7, (2.7 + 2.7 + 2.7) / 3) == "tie"


def test_without_replies_there_is_no_parse_rate() -> None:
    assert metrics.parse_rate([]) is None
    assert metrics.parse_rate([3, None, None, 1]) == 0.5
    assert metrics.response_length(["ab", "abcd"]) == 3
