"""Pairs from scores, and the reason if there is no pair."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training.domain.pairing import demonstration_pairs, max_min_pairs, random_pairs
from training.domain.rows import NoPair, PairDraft, PromptOutcome, ResponseRow, ScoredResponse


def _scored(*scores: float | None, prompt_id: int = 1) -> list[ScoredResponse]:
    return [
        ScoredResponse(prompt_id * 10 + place, prompt_id, place, f"text {place}", score)
        for place, score in enumerate(scores)
    ]


def test_the_highest_score_is_chosen_and_the_lowest_rejected() -> None:
    (pair,) = max_min_pairs(_scored(3, 5, 1, 4))
    assert isinstance(pair, PairDraft)
    assert (pair.chosen_id, pair.rejected_id, pair.margin) == (11, 12, 4)
    assert "Highest score 5 against lowest 1 of 4" in pair.reason


def test_equal_scores_make_no_pair() -> None:
    (row,) = max_min_pairs(_scored(3, 3, 3))
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.SAME_SCORE
    assert row.reason == "All 3 scored responses have the same score, 3."


def test_scores_that_differ_by_rounding_are_equal() -> None:
    mean = (2.7 + 2.7 + 2.7) / 3
    assert 0 < abs(mean - 2.7) < 1e-15
    (row,) = max_min_pairs(_scored(2.7, mean))
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.SAME_SCORE
    (pair,) = max_min_pairs(_scored(mean, 2.7, 1.0))
    assert isinstance(pair, PairDraft)
    assert pair.chosen_id == 10  # of equal scores the first


def test_a_margin_that_equals_the_minimum_but_for_rounding_makes_a_pair() -> None:
    assert 0.7 - 0.5 < 0.2
    (pair,) = max_min_pairs(_scored(0.7, 0.5), min_margin=0.2)
    assert isinstance(pair, PairDraft)


def test_unparsed_judgements_are_left_out() -> None:
    (pair,) = max_min_pairs(_scored(None, 4, 2, None))
    assert isinstance(pair, PairDraft)
    assert (pair.chosen_id, pair.rejected_id) == (11, 12)
    assert "2 without a score were left out" in pair.reason


def test_one_score_alone_makes_no_pair() -> None:
    (row,) = max_min_pairs(_scored(None, 4))
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.TOO_FEW_SCORES
    assert "1 of 2 responses have a score" in row.reason


def test_equal_texts_make_no_pair() -> None:
    same = [ScoredResponse(1, 1, 0, "yes", 5), ScoredResponse(2, 1, 1, " yes", 1)]
    (row,) = max_min_pairs(same)
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.SAME_TEXT


def test_a_margin_below_the_minimum_makes_no_pair() -> None:
    (row,) = max_min_pairs(_scored(3, 3.3), min_margin=0.5)
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.BELOW_MARGIN
    assert "below the minimum of 0.5" in row.reason


def test_ties_are_resolved_by_index_in_any_order_of_rows() -> None:
    rows = _scored(5, 5, 1, 1)
    assert max_min_pairs(rows) == max_min_pairs(rows[::-1])


def test_random_pairs_are_the_same_pairs_in_random_order() -> None:
    rows = [row for prompt_id in range(1, 201) for row in _scored(1, 5, prompt_id=prompt_id)]
    drawn, ranked = random_pairs(rows, run_seed=7), max_min_pairs(rows)
    assert drawn == random_pairs(rows, run_seed=7)
    turned = 0
    for one, other in zip(drawn, ranked, strict=True):
        assert isinstance(one, PairDraft)
        assert isinstance(other, PairDraft)
        assert {one.chosen_id, one.rejected_id} == {other.chosen_id, other.rejected_id}
        assert one.margin == (other.margin if one.chosen_id == other.chosen_id else -4)
        turned += one.chosen_id != other.chosen_id
    assert 70 < turned < 130


def test_a_demonstration_is_chosen_over_the_students_first_response() -> None:
    rows = demonstration_pairs(
        [ResponseRow(1, 1, 0, "teacher"), ResponseRow(2, 2, 0, "same"), ResponseRow(3, 3, 0, "  ")],
        [ResponseRow(4, 1, 1, "later"), ResponseRow(5, 1, 0, "student"), ResponseRow(6, 2, 0, "same"),
         ResponseRow(7, 3, 0, "student"), ResponseRow(8, 4, 0, "student")],
    )  # fmt: skip
    pair = rows[0]
    assert isinstance(pair, PairDraft)
    assert (pair.chosen_id, pair.rejected_id, pair.margin) == (1, 5, None)
    assert [type(row) for row in rows[1:]] == [NoPair, NoPair, NoPair]


def _cut(scored: list[ScoredResponse], *places: int) -> list[ScoredResponse]:
    return [replace(row, cut=row.index in places) for row in scored]


def test_a_response_that_was_cut_is_not_chosen_unless_all_were() -> None:
    (pair,) = max_min_pairs(_cut(_scored(3, 5, 1, 4), 1))
    assert isinstance(pair, PairDraft)
    assert (pair.chosen_id, pair.rejected_id, pair.margin) == (13, 12, 3)
    assert "1 with a higher score were cut" in pair.reason
    (all_cut,) = max_min_pairs(_cut(_scored(3, 5, 1, 4), 0, 1, 2, 3))
    assert isinstance(all_cut, PairDraft)
    assert (all_cut.chosen_id, all_cut.rejected_id) == (11, 12)
    (rejected,) = max_min_pairs(_cut(_scored(3, 1), 1))
    assert isinstance(rejected, PairDraft)
    assert (rejected.chosen_id, rejected.rejected_id) == (10, 11)


def test_no_pair_is_made_if_only_cut_responses_have_more_than_the_lowest_score() -> None:
    (row,) = max_min_pairs(_cut(_scored(2, 5, 2), 1))
    assert isinstance(row, NoPair)
    assert row.code == PromptOutcome.CUT


@pytest.mark.parametrize(("student_cut", "outcome"), [(False, PromptOutcome.CUT), (True, PromptOutcome.PAIR)])
def test_a_demonstration_that_was_cut_is_chosen_over_a_cut_response_only(
    student_cut: bool, outcome: PromptOutcome
) -> None:
    (row,) = demonstration_pairs(
        [ResponseRow(1, 1, 0, "a long ans", cut=True)], [ResponseRow(2, 1, 0, "short", cut=student_cut)]
    )
    assert row.code == outcome


def test_recorded_parse_failures_are_never_rejected_responses(real_data: Path) -> None:
    """In the recorded M2 scores, parse failures scored -1 would all become rejected responses."""
    failures_rejected = {"as a score": 0, "unscored": 0}
    pairs = {"as a score": 0, "unscored": 0}
    for number, line in enumerate((real_data / "eft_scores_200.jsonl").read_text().splitlines()):
        scores = [response["scores"]["M2"] for response in json.loads(line)["responses"]]
        for rule, used in (("as a score", scores), ("unscored", [None if s == -1 else s for s in scores])):
            (row,) = max_min_pairs(_scored(*used, prompt_id=number + 1))
            if isinstance(row, PairDraft):
                pairs[rule] += 1
                failures_rejected[rule] += scores[row.rejected_id % 10] == -1
    assert (failures_rejected["as a score"], pairs["as a score"]) == (120, 120)
    assert failures_rejected["unscored"] == 0
    assert pairs["unscored"] > 0
