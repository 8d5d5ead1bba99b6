"""Agreement statistics against published examples and recorded human annotations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import krippendorff
import pytest
from statsmodels.stats import inter_rater

from training.domain.agreement import (
    Level,
    alpha_with_interval,
    cohen_kappa,
    fleiss_kappa,
    fleiss_with_interval,
    item_agreement,
    krippendorff_alpha,
    percent_agreement,
    percent_with_interval,
)
from training.domain.consensus import majority, median

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C: 4 observers, 12 units, missing data.
_OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
UNITS = list(zip(*[[None if mark == "." else int(mark) for mark in row.split()] for row in _OBSERVERS], strict=True))

# Fleiss (1971) as it is commonly tabulated: 10 subjects, 14 raters, 5 categories.
_COUNTS = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip
SUBJECTS = [[category for category, count in enumerate(row) for _ in range(count)] for row in _COUNTS]


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_reproduces_krippendorffs_example(level: str, expected: float) -> None:
    assert krippendorff_alpha(UNITS, level=level) == pytest.approx(expected, abs=5e-4)  # type: ignore[arg-type]


def test_fleiss_kappa_reproduces_the_tabulated_example() -> None:
    assert fleiss_kappa(SUBJECTS) == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_of_a_known_two_by_two_table() -> None:
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)


def test_quadratic_weights_penalize_small_differences_less() -> None:
    one, near, far = [0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 4], [5, 4, 3, 2, 1, 0]
    near_kappa, far_kappa = (cohen_kappa(one, other, weights="quadratic") for other in (near, far))
    assert near_kappa is not None
    assert far_kappa is not None
    assert near_kappa > 0.7 > 0 > far_kappa


def test_full_agreement_is_one_and_constant_answers_are_undefined() -> None:
    assert krippendorff_alpha([[1, 1], [2, 2]]) == 1
    assert fleiss_kappa([["a", "a"], ["b", "b"]]) == 1
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert cohen_kappa([1, 1], [1, 1]) is None


def test_items_with_one_answer_are_ignored() -> None:
    assert item_agreement(["a", None]) is None
    assert percent_agreement([["a"], ["a", "a"], ["a", "b"]]) == 0.5
    assert krippendorff_alpha([["a"], [None, None]]) is None
    assert alpha_with_interval([]).items == 0


def test_an_interval_contains_its_estimate_and_shrinks_with_more_items() -> None:
    few, many = UNITS, UNITS * 20
    narrow, wide = alpha_with_interval(many), alpha_with_interval(few)
    for figure in (narrow, wide):
        assert figure.low is not None
        assert figure.high is not None
        assert figure.value is not None
        assert figure.low <= figure.value <= figure.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2  # type: ignore[operator]
    assert alpha_with_interval(few) == alpha_with_interval(few)


def test_alpha_and_kappa_of_three_annotators_are_consistent(real_data: Path) -> None:
    rows = [json.loads(line) for line in (real_data / "pandalm_999_three_annotators.jsonl").open(encoding="utf-8")]
    answers = [row["annotators"] for row in rows]
    assert len(answers) == 999
    same = sum(len(set(three)) == 1 for three in answers)
    two = sum(len(set(three)) == 2 for three in answers)
    # Of the three pairs of annotators, all, one or none can agree.
    assert percent_agreement(answers) == pytest.approx((same + two / 3) / 999)
    fleiss, alpha = fleiss_kappa(answers), alpha_with_interval(answers)
    assert fleiss is not None
    assert alpha.value is not None
    # With a constant number of raters, alpha = 1 - (1 - kappa)(1 - 1/(n·r)).
    assert alpha.value == pytest.approx(1 - (1 - fleiss) * (1 - 1 / (999 * 3)), abs=1e-9)
    assert 0.6 < fleiss < 0.9
    for figure, exact in (
        (percent_with_interval(answers), percent_agreement(answers)),
        (fleiss_with_interval(answers), fleiss),
    ):
        assert figure.value == pytest.approx(exact)
        assert figure.low < figure.value < figure.high  # type: ignore[operator]
        assert figure.high - figure.low < 0.1  # type: ignore[operator]


def test_the_majority_of_three_annotators_is_the_published_label(real_data: Path) -> None:
    rows = [json.loads(line) for line in (real_data / "pandalm_999_three_annotators.jsonl").open(encoding="utf-8")]
    decided = [(majority(row["annotators"]), row["label"]) for row in rows]
    assert all(found == label for found, label in decided if found is not None)
    assert sum(found is None for found, _ in decided) < 20


def test_a_plurality_is_not_a_majority_and_the_median_is_the_middle_value() -> None:
    assert majority(["a", "b", "c"]) is None
    assert majority(["a", "a", "b", "b"]) is None
    assert majority(["a", "b", "a"]) == "a"
    assert median([5.0, 1.0, 4.0]) == 4.0
    assert median([1.0, 4.0]) == 2.5
    assert median([]) is None


def _labels(folder: Path) -> list[list[int]]:
    rows = (folder / "pandalm_999_three_annotators.jsonl").open(encoding="utf-8")
    return [list(json.loads(line)["annotators"]) for line in rows]


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_of_recorded_answers_equals_the_library(real_data: Path, level: Level) -> None:
    answers = _labels(real_data)
    expected = krippendorff.alpha(list(zip(*answers, strict=True)), level_of_measurement=level)
    assert krippendorff_alpha(answers, level=level) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_with_missing_answers_equals_the_library(level: Level) -> None:
    columns = [[math.nan if value is None else float(value) for value in column] for column in zip(*UNITS, strict=True)]
    expected = krippendorff.alpha(columns, level_of_measurement=level)
    assert krippendorff_alpha(UNITS, level=level) == pytest.approx(expected, abs=1e-12)


def test_both_kappas_of_recorded_answers_equal_the_library(real_data: Path) -> None:
    answers = _labels(real_data)
    counts = [[row.count(label) for label in (0, 1, 2)] for row in answers]
    assert fleiss_kappa(answers) == pytest.approx(inter_rater.fleiss_kappa(counts), abs=1e-12)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        a, b = [row[one] for row in answers], [row[other] for row in answers]
        table = inter_rater.to_table(list(zip(a, b, strict=True)))[0]
        for weights, theirs in (("none", None), ("quadratic", "quadratic")):
            expected = inter_rater.cohens_kappa(table, wt=theirs, return_results=False)
            assert cohen_kappa(a, b, weights=weights) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
